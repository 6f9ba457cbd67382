"""Rows that count more or less than others, in the loss and in the metrics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data import ArraySplit, CTRData, FeatureSchema, from_arrays
from pep_tf.data.checks import read_classes
from pep_tf.errors import DataError
from pep_tf.models import build_model
from pep_tf.optimizers import CoupledAdam
from pep_tf.training.fit import fit
from pep_tf.training.loop import Loop
from pep_tf.training.metrics import Evaluator, metrics_of
from tests import tiny

ROWS = tiny.split(60, 3)
WEIGHTS = np.random.default_rng(0).choice([0, 1, 2, 3], 60)
WEIGHTED = ArraySplit(ROWS.ids, ROWS.labels, np.arange(60), weights=WEIGHTS)
REPEATED = ArraySplit(
    ROWS.ids.repeat(WEIGHTS, axis=0), ROWS.labels.repeat(WEIGHTS), np.arange(WEIGHTS.sum())
)


def data(train) -> CTRData:
    return CTRData("tiny", FeatureSchema.of(tiny.FIELDS), train, train, train)


def test_a_row_of_weight_two_counts_as_the_row_twice():
    results = []
    for split in (WEIGHTED, REPEATED):
        model = tiny.model("fm", pruning="none")
        settings = tiny.settings(batch_size=500)  # all rows in one batch
        results.append(fit(model, data(split), settings))
    weighted, repeated = results
    for name in ("loss", "validation_auc"):
        told = [[check[name] for check in r.history if name in check] for r in results]
        np.testing.assert_allclose(*told, rtol=0, atol=1e-6)
    assert weighted.test.auc == pytest.approx(repeated.test.auc, abs=1e-9)
    assert weighted.test.logloss == pytest.approx(repeated.test.logloss, abs=1e-6)


def test_the_loss_is_that_of_a_keras_model_on_the_same_batches():
    """A bag, a number and weights: two epochs, beside a factorization machine out of Keras's own layers."""
    fields = {"user": 5, "tags": {"size": 7, "width": 3, "combiner": "mean"}, "price": "float"}
    rng = np.random.default_rng(5)
    features = {"user": ROWS.ids[:, 0], "tags": rng.integers(0, 7, (60, 3))}
    features["price"] = rng.normal(size=60).astype(np.float32)
    rows = from_arrays((features, ROWS.labels, WEIGHTS), fields).train
    model = build_model("fm", fields, embedding_dim=tiny.DIM, pruning="none")

    user, tags = keras.Input((), dtype="int32"), keras.Input((3,), dtype="int32")
    price = keras.Input((1,))
    there = keras.ops.cast(tags > 0, "float32")[:, :, None]
    parts = []
    for layer, width in ((model.embedding, tiny.DIM), (model.first_order, 1)):
        table = layer.effective_table()
        bag = keras.layers.Embedding(7, width, weights=[table[5:12]])(tags) * there
        bag = keras.ops.sum(bag, 1) / keras.ops.maximum(keras.ops.sum(there, 1), 1.0)
        one = keras.layers.Embedding(5, width, weights=[table[:5]])(user)
        start = keras.initializers.Constant(table[12:])
        times = keras.layers.Dense(width, use_bias=False, kernel_initializer=start)(price)
        parts.append(keras.ops.stack([one, bag, times], axis=1))
    e, linear = parts
    bias = keras.layers.Dense(1, kernel_initializer="ones", name="bias")
    pairs = keras.ops.square(keras.ops.sum(e, 1)) - keras.ops.sum(keras.ops.square(e), 1)
    logit = keras.ops.sum(pairs, 1, keepdims=True) / 2 + bias(keras.ops.sum(linear, 1))
    bias.kernel.trainable = False
    by_hand = keras.Model([user, tags, price], logit)
    loss = keras.losses.BinaryCrossentropy(True, reduction="mean_with_sample_weight")
    by_hand.compile(CoupledAdam(0.02, l2=0.0), loss)

    settings = tiny.settings(batch_size=16, l2=0.0)
    loop = Loop("fit", model, settings.optimizer(model), rows, settings)
    for epoch in range(2):
        for ids, labels, own in rows.batches(16, seed=settings.seed, epoch=epoch):
            numbers = tf.bitcast(ids[:, 4:], tf.float32)
            batch = [ids[:, 0], ids[:, 1:4], numbers], labels[:, None]
            expected = loss(batch[1], by_hand(batch[0]), sample_weight=own)
            assert loop.run(1) == pytest.approx(float(expected), abs=1e-6)
            by_hand.train_on_batch(*batch, sample_weight=own)


def test_metrics_are_weighted():
    labels, logits = np.array([0, 1, 1, 0]), np.array([-1.0, 2.0, -0.5, 0.5])
    weights = np.array([1, 0, 2, 3])
    weighted = metrics_of(labels, logits, weights)
    repeated = metrics_of(labels.repeat(weights), logits.repeat(weights))
    assert weighted.auc == pytest.approx(repeated.auc)
    assert weighted.logloss == pytest.approx(repeated.logloss)
    assert Evaluator(tiny.model("fm"))(WEIGHTED) != Evaluator(tiny.model("fm"))(ROWS)


def test_a_batch_of_weights_zero_is_no_division_by_zero():
    split = ArraySplit(ROWS.ids, ROWS.labels, np.arange(60), weights=np.arange(60) >= 32)
    settings = tiny.settings(batch_size=16)
    model = tiny.model("fm", pruning="none")
    loop = Loop("fit", model, settings.optimizer(model), split, settings)
    while loop.epoch < 2:
        loop.run(100)
    assert np.isfinite(model.embedding.effective_table()).all()


def test_weights_belong_to_the_content():
    plain = data(ROWS).identity.content
    assert plain != data(WEIGHTED).identity.content
    other = ArraySplit(ROWS.ids, ROWS.labels, np.arange(60), weights=WEIGHTS[::-1])
    assert data(other).identity.content != data(WEIGHTED).identity.content


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * 59 + [-1.0], "`weights` must be finite, 0 or more. Received: -1.0 in row 59"),
        ([np.nan] + [1.0] * 59, "Received: nan in row 0"),
        ([1e39] + [1.0] * 59, "Received: 1e\\+39 in row 0"),
        ([1.0] * 59, "`ids` and `weights` must have the same number of rows"),
        (["a"] * 60, "`weights` must be one number per row"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(DataError, match=message):
        ArraySplit(ROWS.ids, ROWS.labels, np.arange(60), weights=weights)


def test_one_class_without_weight_is_refused():
    split = ArraySplit(ROWS.ids, ROWS.labels, np.arange(60), weights=ROWS.labels)
    assert split.classes == (1,)
    batches = split.batches(16).as_numpy_iterator()
    assert read_classes("train", batches, data(ROWS).schema) == (1,)
    with pytest.raises(DataError, match="`train` must hold rows of both classes"):
        fit(tiny.model("fm"), data(split), tiny.settings())
