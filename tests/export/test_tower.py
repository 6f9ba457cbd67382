"""A served tower leaves out what only ever meets zeros, and answers as the model does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data.raw import UNKNOWN
from pep_tf.export.kept_columns import KeptColumns, KeptNumbers
from pep_tf.export.saved_model import export_saved_model
from pep_tf.export.tower import FrozenTower
from pep_tf.models import build_model
from tests.export.towers import (
    DIM,
    SCHEMA,
    BucketTransform,
    SmallTower,
    expected,
    random_ids,
    sparse_table,
)

FIELDS, WIDTH = 3, 32
KEPT = np.zeros((FIELDS, WIDTH), bool)
KEPT[0], KEPT[2, [3, 30]] = True, True  # nothing of the second field
STORED = KeptColumns(FIELDS, WIDTH, np.array([0]), np.array([2 * WIDTH + 3, 2 * WIDTH + 30]), True)


def embeddings(rows: int = 5) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(rows, FIELDS, WIDTH)) * KEPT).astype(np.float32)


def numbers_of(embedded: np.ndarray) -> KeptNumbers:
    flat = embedded.reshape(len(embedded), -1)
    return KeptNumbers(
        tf.constant(embedded[:, STORED.fields]), tf.constant(flat[:, STORED.columns])
    )


def counted(tower: FrozenTower) -> int:
    return sum(int(tf.size(variable)) for variable in tower.variables)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["fm", "deepfm", "dcn", "autoint"])
def test_models_without_the_columns_of_zeros(name, policy):
    model = build_model(
        name, dict.fromkeys("abc", 5), embedding_dim=WIDTH, pruning="none", dtype=policy
    )
    model(np.zeros((1, FIELDS), np.int32))
    has_first_order = name in ("fm", "deepfm")
    embedded = embeddings()
    first_order = np.ones((5, FIELDS, 1), np.float32) if has_first_order else None
    whole = FrozenTower(
        model, kept=KeptColumns.of(np.ones_like(KEPT)), has_first_order=has_first_order
    )
    exact = tf.function(whole)(embedded, first_order)
    for kept, numbers in ((KeptColumns.of(KEPT), None), (STORED, numbers_of(embedded))):
        tower = FrozenTower(model, kept=kept, has_first_order=has_first_order)
        found = tf.function(tower)(embedded, first_order, numbers)
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 if policy == "float32" else 0.05)
        if name != "fm":  # which has no matrix
            assert counted(tower) <= counted(whole) - (FIELDS * WIDTH - KEPT.sum()) * 100


def test_the_embeddings_are_not_needed_where_the_numbers_do():
    model = build_model("deepfm", dict.fromkeys("abc", 5), embedding_dim=WIDTH, pruning="none")
    model(np.zeros((1, FIELDS), np.int32))
    embedded = embeddings()
    weights = np.ones((5, FIELDS, 1), np.float32)
    tower = FrozenTower(model, kept=STORED, has_first_order=True)
    nan = np.full_like(embedded, np.nan)
    found = tf.function(tower)(nan, weights, numbers_of(embedded))
    np.testing.assert_allclose(
        found, tf.reshape(model.interact(embedded, weights), [-1]), atol=1e-6
    )


class Odd(keras.Model):
    """Uses a matrix in a way of its own besides a product, or instead of one."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.matrix = self.add_weight(shape=(FIELDS * WIDTH, 100), name="matrix")

    def interact(self, embedded, first_order):
        flat = tf.reshape(embedded, [-1, FIELDS * WIDTH])
        if self.way == "shifted":
            return tf.reduce_sum(tf.matmul(flat + 1.0, self.matrix.value), axis=1)
        if self.way == "read again":
            return tf.reduce_sum(tf.matmul(flat, self.matrix.value), axis=1) + tf.reduce_sum(
                self.matrix.value
            )
        if self.way == "asserted":
            tf.debugging.assert_less(tf.reduce_max(flat), 100.0, "too large")
            return tf.reduce_sum(tf.matmul(flat, self.matrix.value), axis=1)
        if self.way == "means":
            return tf.reduce_sum(
                tf.reduce_sum(embedded, axis=1, keepdims=True) * self.matrix.value[0, 0],
                axis=(1, 2),
            ) + tf.reduce_sum(embedded, axis=(1, 2))
        products = tf.matmul(flat, self.matrix.value)  # "twice"
        return tf.reduce_sum(products, axis=1) + tf.reduce_max(products, axis=1)


@pytest.mark.parametrize(
    ("way", "shorter"),
    [
        ("shifted", False),
        ("read again", False),
        ("means", False),
        ("asserted", True),
        ("twice", True),
    ],
)
def test_a_matrix_is_cut_only_where_its_rows_meet_zeros(way, shorter):
    model, embedded = Odd(way), embeddings()
    for kept, numbers in ((KeptColumns.of(KEPT), None), (STORED, numbers_of(embedded))):
        tower = FrozenTower(model, kept=kept, has_first_order=False)
        found = tf.function(tower)(embedded, None, numbers)
        np.testing.assert_allclose(found, model.interact(embedded, None), rtol=1e-5, atol=1e-5)
        assert (counted(tower) < FIELDS * WIDTH * 100) == shorter


def test_an_assertion_of_the_model_is_served_as_well():
    tower = FrozenTower(Odd("asserted"), kept=KeptColumns.of(KEPT), has_first_order=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        tf.function(tower)(1000 + embeddings(), None)


class WithUnknownHours(BucketTransform):
    def __call__(self, raw):
        ids = super().__call__(raw)
        unknown = (raw["hour"] < 0)[:, tf.newaxis] & tf.constant([False, False, True])
        return tf.where(unknown, UNKNOWN, ids)


def test_unknown_values_add_nothing_to_a_table_by_field(tmp_path):
    table = 1 + np.abs(sparse_table(SCHEMA.num_features, DIM, kept=1.0))
    users = SCHEMA.sizes[0]
    table[:users, 2:] = 0  # a field in pieces, the others whole
    transform, tower = WithUnknownHours(), SmallTower()
    version = export_saved_model(
        tmp_path, schema=SCHEMA, table=table, tower=tower, transform=transform
    )
    loaded = tf.saved_model.load(str(version))
    assert (2 + 2 * DIM, 16) in [tuple(weight.shape) for weight in loaded.tower.weights]
    ids = random_ids(SCHEMA, 20)
    answer = loaded.signatures["ids"](ids=tf.constant(ids))["logit"]
    np.testing.assert_allclose(answer, expected(tower, SCHEMA, table, None, ids)[1], atol=1e-6)
    raw = {
        "user": tf.constant([b"a", b"b"]),
        "device": tf.constant([b"x", b"y"]),
        "hour": tf.constant([-1, 5], tf.int64),
    }
    found = transform(raw).numpy()
    assert (found < 0).sum() == 1
    rows = table[np.maximum(found, 0) + SCHEMA.offsets] * (found >= 0)[:, :, None]
    logit = tower.interact(tf.constant(rows), None)
    served = loaded.signatures["serving_default"](**raw)["probability"]
    np.testing.assert_allclose(served, tf.sigmoid(logit), atol=1e-6)
