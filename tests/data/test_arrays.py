"""Arrays and `tf.data.Dataset`s train as a data set does; what is wrong in them is told at the first batch."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.data import from_arrays
from pep_tf.errors import DataError
from pep_tf.training import Settings

FIELDS = {"user": 5, "tags": {"size": 6, "width": 3, "combiner": "mean"}, "price": "float"}
ROWS = 60
rng = np.random.default_rng(3)
LABELS = np.arange(ROWS) // 2 % 2
WEIGHTS = rng.random(ROWS)
FEATURES = {
    "user": rng.integers(0, 5, ROWS),
    "tags": rng.integers(0, 6, (ROWS, 2)),
    "price": rng.normal(size=ROWS).astype(np.float32),
}


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts or (FEATURES, LABELS, WEIGHTS))


def test_features_by_name_become_the_ids_that_models_take():
    data = from_arrays((FEATURES, LABELS, WEIGHTS), FIELDS, seed=1)
    rows = data.train.row_numbers
    assert data.schema.size_by_name == FIELDS
    assert data.train.ids[:, 3].max() == 0
    np.testing.assert_array_equal(
        data.train.ids[:, :3], np.c_[FEATURES["user"], FEATURES["tags"]][rows]
    )
    np.testing.assert_array_equal(
        data.train.ids[:, 4:].copy().view(np.float32)[:, 0], FEATURES["price"][rows]
    )
    np.testing.assert_array_equal(data.train.weights, WEIGHTS[rows].astype(np.float32))


def test_a_table_is_read_by_the_names_of_its_columns():
    frame = pd.DataFrame({"b": FEATURES["user"], "a": FEATURES["user"][::-1]})
    arrays = (frame[["a", "b"]].to_numpy(), LABELS)
    expected = from_arrays(arrays, {"a": 5, "b": 5}).train.ids
    for features in (frame, pd.DataFrame(arrays[0])):
        own = from_arrays((features, pd.Series(LABELS)), {"a": 5, "b": 5})
        np.testing.assert_array_equal(own.train.ids, expected)
    for features, labels, told in (
        (frame.set_axis(["a", "c"], axis=1), LABELS, "must have the fields a, b. Received: a, c"),
        (frame, pd.Series(LABELS)[::-1], "must have one index"),
        ({"a": frame["a"], "b": frame["b"][::-1]}, LABELS, "must have one index"),
        (np.ma.masked_greater(arrays[0], 3), LABELS, "some are masked"),
    ):
        with pytest.raises(DataError, match=told):
            from_arrays((features, labels), {"a": 5, "b": 5})


def test_arrays_of_splits_that_are_given_are_not_copied():
    ids = rng.integers(0, 5, (ROWS, 1)).astype(np.int32)
    data = from_arrays(dict.fromkeys(("train", "validation", "test"), (ids, LABELS)), {"user": 5})
    assert np.shares_memory(data.train.ids, ids)


@pytest.mark.parametrize(
    "same",
    [
        lambda: dataset(),
        lambda: dataset().batch(7),
        lambda: dataset(
            {**FEATURES, "tags": tf.RaggedTensor.from_tensor(FEATURES["tags"])}, LABELS, WEIGHTS
        ),
        lambda: (
            np.c_[FEATURES["user"], FEATURES["tags"], np.zeros(ROWS), FEATURES["price"]],
            LABELS,
            WEIGHTS,
        ),
    ],
    ids=["rows", "batches", "ragged", "one array"],
)
def test_a_dataset_is_what_its_arrays_are(same):
    data, other = from_arrays((FEATURES, LABELS, WEIGHTS), FIELDS), from_arrays(same(), FIELDS)
    assert data.identity.difference(other.identity) is None


def test_splits_may_be_given():
    splits = {"train": dataset(), "validation": dataset().take(9), "test": dataset().take(9)}
    data = from_arrays(splits, FIELDS)
    np.testing.assert_array_equal(data.train.ids[:, 0], FEATURES["user"])
    assert data.test.row_numbers.tolist() == [*range(ROWS + 9, ROWS + 18)]


def test_a_model_is_pruned_and_retrained_on_a_dataset():
    model = pep_tf.build_model("fm", FIELDS, embedding_dim=2, threshold_init=-4.0)
    settings = Settings(batch_size=16, epochs=1, prune_epochs=1)
    (ticket,) = pep_tf.prune(model, dataset().batch(20), budgets=["50%"], settings=settings)
    assert 0.0 <= ticket.retrain(dataset(), settings=settings).test.auc <= 1.0
    with pytest.raises(pep_tf.PepError, match="another split|other rows in train"):
        ticket.retrain(dataset(), settings=settings, seed=5)


BAD = {
    "labels 1 to 5": (
        (FEATURES, 1 + np.arange(ROWS) % 5),
        "`data`: `labels` must be 0 or 1.*2 in row 1$",
    ),
    "a label that is missing": (
        dataset(FEATURES, np.where(LABELS, np.nan, 0.0)).batch(10),
        "`labels` must be 0 or 1. Received: nan in row 2$",
    ),
    "one label": ((FEATURES, np.ones(ROWS)), "`train` must hold rows of both classes"),
    "an id too large": (
        dataset({**FEATURES, "user": np.arange(ROWS) // 11}, LABELS).batch(10),
        "`data` must hold ids from 0 to 4 in field 'user'.*5 in row 55$",
    ),
    "an id below 0": (
        ({**FEATURES, "user": -FEATURES["user"]}, LABELS),
        "`user`: `ids` must be whole numbers from 0",
    ),
    "text": (({**FEATURES, "user": ["a"] * ROWS}, LABELS), "`user` must be numbers"),
    "a bag too wide": (
        ({**FEATURES, "tags": np.zeros((ROWS, 4), int)}, LABELS),
        r"`tags` must be numbers \[n\] or \[n, 3\]",
    ),
    "no number": (
        ({**FEATURES, "price": np.full(ROWS, np.nan)}, LABELS),
        "`price` must be finite, 0 where it is missing. Received: nan in row 0",
    ),
    "no field": (
        ({"user": FEATURES["user"]}, LABELS),
        "must have the fields user, tags, price. Received: user",
    ),
    "rows too few": (
        ({**FEATURES, "user": [0]}, LABELS),
        "must have equally many rows. Received: user 1",
    ),
    "numbers in place of bits": (
        (np.ones((ROWS, 5), np.int32), LABELS),
        "must hold the bits of finite float32",
    ),
    "columns too few": (
        (np.ones((ROWS, 2)), LABELS),
        "must have a column for each of the 3 fields",
    ),
    "no labels": (
        tf.data.Dataset.from_tensor_slices(FEATURES["user"]),
        r"must be \(features, labels\)",
    ),
    "without end": (dataset().repeat(), "`data` must end: leave `repeat\\(\\)` out"),
    "in another order each time": (
        dataset().shuffle(60).batch(20),
        "must give its rows in one order",
    ),
    "nothing": (dataset().take(0), "`data` must hold at least one row"),
    "other splits": (
        {"train": dataset(), "valid": dataset()},
        "must have the splits train, validation, test",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_trained_on_is_refused_in_one_line(what):
    data, message = BAD[what]
    model = pep_tf.build_model("fm", FIELDS, embedding_dim=2)
    with pytest.raises(DataError, match=message) as error:
        pep_tf.prune(model, data, budgets=["50%"])
    assert "\n" not in str(error.value)
