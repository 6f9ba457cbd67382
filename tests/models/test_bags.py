"""Bags of ids in every model: one field whose embedding is made of several; as Keras would, and served."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.data.feature_counts import count_features
from pep_tf.errors import DataError
from pep_tf.export.model_card import read_card
from pep_tf.layers import FieldIds
from pep_tf.models import models_with
from tests import tiny

BAG = {"size": 7, "width": 3, "combiner": "mean"}
FIELDS = {"user": 5, "genres": BAG, "hour": 4}
SCHEMA = FeatureSchema.of(FIELDS)
IDS = np.random.default_rng(0).integers(0, [5, 7, 7, 7, 4], (90, 5))
IDS[:3, 1:4] = [[0, 0, 0], [2, 0, 2], [0, 3, 0]]
LABELS = (IDS[:, 0] + IDS[:, 1]) % 2


def model_of(name="fm", fields=FIELDS, **options):
    tower = {"mlp_widths": (4,), "attention": {"width": 4, "layers": 1}}
    tower = pep_tf.models.options_among(name, tower)
    return pep_tf.build_model(name, fields, embedding_dim=2, **tower, **options)


def data() -> CTRData:
    splits = [ArraySplit(IDS[k::3], LABELS[k::3], np.arange(30) + 30 * k) for k in range(3)]
    return CTRData("bags", SCHEMA, *splits)


def test_the_schema_comes_back():
    assert FeatureSchema.from_config(SCHEMA.get_config()) == SCHEMA
    assert FeatureSchema.of(SCHEMA.size_by_name) == SCHEMA
    assert FieldIds.from_config(FieldIds(FIELDS).get_config()).fields == FIELDS
    for bag in ({**BAG, "combiner": "max"}, {**BAG, "width": 0}, {"size": 7, "width": 2}):
        with pytest.raises(DataError, match="Field 'genres' must have one value, or be a bag"):
            FeatureSchema.of({"genres": bag})


@pytest.mark.parametrize("combiner", ["mean", "sum", "sqrtn"])
def test_the_logit_is_that_of_a_keras_model(combiner):
    model = model_of(fields={**FIELDS, "genres": {**BAG, "combiner": combiner}}, pruning="none")
    [weights] = model.first_order.weights
    weights.assign(np.random.default_rng(1).normal(size=(16, 1)))
    ids = keras.Input((5,), dtype="int32")
    rows = ids + np.array([[0, 5, 5, 5, 12]], np.int32)
    embedded = []
    for layer in (model.embedding, model.first_order):
        table = layer.effective_table()
        own = keras.layers.Embedding(*table.shape, weights=[table])(rows)
        bag = own[:, 1:4] * keras.ops.cast(ids[:, 1:4, None] > 0, "float32")
        number = keras.ops.sum(keras.ops.cast(ids[:, 1:4] > 0, "float32"), 1)[:, None]
        number = keras.ops.maximum(number, 1.0)
        scale = {"mean": number, "sum": 1.0, "sqrtn": keras.ops.sqrt(number)}[combiner]
        bag = (keras.ops.sum(bag, 1) / scale)[:, None]
        embedded.append(keras.ops.concatenate([own[:, :1], bag, own[:, 4:]], axis=1))
    table, linear = embedded
    pairs = keras.ops.square(keras.ops.sum(table, 1)) - keras.ops.sum(keras.ops.square(table), 1)
    logit = keras.ops.sum(pairs, 1, keepdims=True) / 2 + keras.ops.sum(linear, 1)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    expected = loss(LABELS[:, None], keras.Model(ids, logit)(IDS))
    assert float(loss(LABELS[:, None], model(IDS))) == pytest.approx(float(expected), abs=1e-6)
    np.testing.assert_allclose(model(IDS), keras.Model(ids, logit)(IDS), rtol=0, atol=1e-6)


def test_an_id_outside_is_named():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`genres` \(column 3\).* \[0, 7\)"):
        model_of()(np.array([[0, 1, 2, 7, 0]]))
    rows = ArraySplit(np.array([[0, 1, 2, 3, 0], [0, 1, 2, 7, 0]]), [0, 1], [0, 1])
    with pytest.raises(DataError, match=r"in field 'genres' \(column 3\). Received: 7 in row 1"):
        CTRData("bags", SCHEMA, rows, rows, rows)
    with pytest.raises(DataError, match="3 fields of `schema`, 5 columns with those of its bags"):
        CTRData("bags", SCHEMA, *[tiny.split(9, 0)] * 3)


def test_values_that_are_there_are_counted():
    counts = count_features(data())
    train = IDS[::3]
    assert counts[5] == 0
    assert counts[5:12].sum() == (train[:, 1:4] > 0).sum()
    assert counts.sum() == (train[:, 1:4] > 0).sum() + 60


@pytest.mark.parametrize("name", models_with("embedding"))
def test_every_model_takes_them_and_numbers(name):
    model = model_of(name, {**FIELDS, "price": "float"})
    numbers = np.linspace(-2, 2, 90, dtype=np.float32)
    ids = np.c_[IDS.astype(np.int32), numbers.view(np.int32)]
    again = type(model).from_config(model.get_config())
    again.build()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(ids), model(ids))
    first, other = ids[:1], np.int32([[0, 1, 0, 0, 0, 0]])
    assert not np.allclose(model(first), model(first + other), atol=1e-6)
    other = np.c_[first[:, :5], np.float32([[1.0]]).view(np.int32)]
    assert not np.allclose(model(first), model(other), atol=1e-6)


def test_a_model_is_pruned_retrained_and_served(tmp_path):
    bags = data()
    [ticket] = pep_tf.prune(model_of(), bags, budgets=["40%"], prune_epochs=1, batch_size=30)
    ticket.save(tmp_path / "ticket.safetensors")
    ticket = pep_tf.Ticket.load(tmp_path / "ticket.safetensors")
    ticket.retrain(bags, epochs=1, batch_size=30)
    version = ticket.export(tmp_path / "served")  # which compares its answers with the model's
    served = tf.saved_model.load(version).signatures["ids"]
    expected = tf.sigmoid(ticket.retrained(IDS, training=False))[:, 0]
    answer = served(ids=tf.constant(IDS, tf.int32))["probability"]
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-6)


def test_fields_of_their_own_widths_are_served(tmp_path):
    """Where a field keeps columns of its own, its table is narrow."""
    model = model_of(pruning="none")
    table = model.embedding.effective_table()
    table[:5, 0] = 0
    [weights] = model.embedding.weights
    weights.assign(table)
    version = pep_tf.export(model, tmp_path / "narrow", data=data())
    assert read_card(version)["table"]["format"] == "FieldTable"
    served = tf.saved_model.load(version).signatures["ids"](ids=tf.constant(IDS, tf.int32))
    expected = tf.sigmoid(model(IDS))[:, 0]
    np.testing.assert_allclose(served["probability"], expected, rtol=0, atol=1e-6)
