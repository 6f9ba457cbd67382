"""Rows that nothing may train on are refused where they come in, by split, field, row and value."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pep_tf.data import ArraySplit, CTRData, FeatureSchema, split_arrays
from pep_tf.data.dataset import check_data
from pep_tf.errors import DataError
from tests import tiny

NUMBERS = st.one_of(
    st.integers(-(2**33), 2**33).map(float),
    st.floats(-100, 100),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.5, 2.0**31]),
)


def split(ids=((1, 2), (3, 4)), labels=(0, 1), rows=(0, 1)):
    return ArraySplit(ids, labels, rows)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (19.7, "19.7"),
        (2**32 + 5, "4294967301"),
        (-1, "-1"),
        (np.nan, "nan"),
        (np.inf, "inf"),
        (np.uint64(2**63), "9223372036854775808"),
    ],
)
def test_an_id_that_int32_cannot_hold_is_not_cut(value, shown):
    ids = np.zeros((5, 3), np.asarray(value).dtype)
    ids[4, 1] = value
    message = rf"`ids` must be whole .* to 2147483647. Received: {shown} in row 4, column 1"
    with pytest.raises(DataError, match=message):
        ArraySplit(ids, np.zeros(5), np.arange(5))
    with pytest.raises(DataError, match=message):  # and not the row that it becomes in a split
        split_arrays(np.pad(ids, ((0, 15), (0, 0))), np.zeros(20), 0)


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 3)), elements=NUMBERS))
def test_what_is_taken_is_what_was_given(ids):
    whole = np.isfinite(ids).all() and ((ids == np.floor(ids)) & (ids >= 0) & (ids < 2**31)).all()
    try:
        taken = ArraySplit(ids, np.zeros(len(ids)), np.arange(len(ids))).ids
    except DataError:
        assert not whole
    else:
        assert whole
        np.testing.assert_array_equal(taken, ids)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float64, bool])
def test_numbers_of_any_type_are_taken_as_they_are(dtype):
    taken = split(np.array([[0, 1], [1, 0]], dtype), np.array([0, 1], dtype))
    assert (taken.ids.dtype, taken.labels.dtype) == (np.int32, np.float32)
    assert taken.ids.tolist() == [[0, 1], [1, 0]]
    assert taken.labels.tolist() == [0, 1]


def test_a_table_of_pandas_is_taken():
    table = pd.DataFrame({"user": [1, 2], "item": [3, 4], "clicked": [True, False]})
    taken = ArraySplit(table[["user", "item"]], table["clicked"], table.index)
    assert taken.ids.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    "ids", [[1, 2], [[["1"]]], [["1", "2"], ["3", "4"]], np.array([[1, None], [2, 3]])]
)
def test_ids_of_another_shape_or_type(ids):
    with pytest.raises(DataError, match="`ids` must be whole numbers, one row .* Received: shape="):
        split(ids)


def test_lists_of_different_lengths():
    with pytest.raises(DataError, match="`ids` must be an array of numbers: .*inhomogeneous"):
        split([[1, 2], [3]])
    with pytest.raises(DataError, match="`labels` must be an array of numbers"):
        split(labels=[0, [1, 1]])


@pytest.mark.parametrize("label", [2, -1, 0.5, np.nan])
def test_a_label_other_than_0_and_1(label):
    message = rf"`labels` must be 0 or 1. Received: {float(label)} in row 1"
    with pytest.raises(DataError, match=message):
        split(labels=[1.0, label])
    with pytest.raises(DataError, match=message):
        split_arrays(np.zeros((20, 1), int), [1.0, label] + [0.0] * 18, 0)


@pytest.mark.parametrize("labels", [[[0], [1]], ["0", "1"]])
def test_labels_of_another_shape_or_type(labels):
    with pytest.raises(
        DataError, match="`labels` must be one number per row, 0 or 1. Received: sh"
    ):
        split(labels=labels)


def test_lengths_must_be_equal():
    with pytest.raises(DataError, match="`ids` and `labels` .* Received: 2 and 3"):
        split(labels=[0, 1, 1])
    with pytest.raises(DataError, match="`ids` and `rows` .* Received: 2 and 1"):
        split(rows=[0])


def test_row_numbers_are_not_cut():
    with pytest.raises(DataError, match="`rows` must be one integer a row.*dtype=float64"):
        split(rows=[0.5, 1.5])


def changed(name, **columns):
    """The tiny data set with another split of that name."""
    old = getattr(tiny.DATA, name)
    values = {"ids": old.ids, "labels": old.labels, "rows": np.arange(old.num_rows), **columns}
    return dataclasses.replace(tiny.DATA, **{name: ArraySplit(**values)})


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_an_id_outside_its_field(name):
    ids = getattr(tiny.DATA, name).ids.copy()
    ids[[17, 30], 1] = 7, 9
    message = (
        rf"`{name}` must hold ids from 0 to 6 in field 'item' \(column 1\). Received: 7 in row 17$"
    )
    with pytest.raises(DataError, match=message):
        changed(name, ids=ids)


def test_a_column_too_few():
    ids = tiny.DATA.test.ids[:, :2]
    with pytest.raises(
        DataError, match="`test` must have a column for each of the 3 fields.*: 2 c"
    ):
        changed("test", ids=ids)


def test_a_split_without_a_row():
    empty = np.zeros((0, 3), int)
    with pytest.raises(DataError, match="`validation` must hold at least one row. Received: 0"):
        changed("validation", ids=empty, labels=[], rows=empty[:, 0])


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize("label", [0, 1])
def test_a_split_of_one_class(name, label):
    rows = getattr(tiny.DATA, name).num_rows
    data = changed(name, labels=np.full(rows, label))
    message = f"`{name}` must hold rows of both classes.*: {rows} rows, all labelled {label}"
    with pytest.raises(DataError, match=message):
        check_data(data)


def test_what_is_no_split_and_no_schema():
    table = pd.DataFrame({"user": [1]})
    with pytest.raises(DataError, match="`test` must be a split, such as .* Received: DataFrame"):
        dataclasses.replace(tiny.DATA, test=table)
    with pytest.raises(DataError, match="`schema` must be a FeatureSchema.* Received: dict"):
        dataclasses.replace(tiny.DATA, schema=tiny.FIELDS)


class Own:
    """A split of one's own, of which only the protocol is known; counts how often it is read."""

    md5 = "own"

    def __init__(self, ids, labels):
        self.ids, self.labels, self.num_rows, self.reads = ids, labels, len(labels), 0

    def batches(self, batch_size, *, seed=None, epoch=0, start=0):
        self.reads += 1
        return tf.data.Dataset.from_tensor_slices((self.ids, self.labels)).batch(50)


def own(ids=None, labels=None):
    known = tiny.DATA.train
    split = Own(known.ids if ids is None else ids, known.labels if labels is None else labels)
    return dataclasses.replace(tiny.DATA, train=split)


def test_a_split_of_ones_own_is_read_once():
    data = own()
    check_data(data)
    check_data(data)
    assert data.train.reads == 1


def test_what_a_split_of_ones_own_holds_is_found_with_its_row():
    ids, labels = tiny.DATA.train.ids.copy(), tiny.DATA.train.labels.copy()
    ids[133, 2] = 4
    labels[141] = 0.25
    with pytest.raises(DataError, match=r"`train` .* field 'hour' \(column 2\).*: 4 in row 133$"):
        check_data(own(ids=ids))
    with pytest.raises(
        DataError, match="`train`: `labels` must be 0 or 1. Received: 0.25 in row 141"
    ):
        check_data(own(labels=labels))
    with pytest.raises(DataError, match="`train`: `ids` must be .*: 0.5 in row 60, column 0"):
        check_data(own(ids=np.where(np.arange(200)[:, None] == 60, 0.5, ids)))
    with pytest.raises(DataError, match="`train` must hold rows of both classes.*all labelled 1"):
        check_data(own(labels=np.ones(200)))


@pytest.mark.parametrize("size", [19.7, "5", None, 2**31])
def test_the_size_of_a_field_is_not_cut(size):
    with pytest.raises(DataError, match=r"`size` of field 'a' must be an integer from 1 to 21474"):
        FeatureSchema.of({"a": size})


def test_a_size_of_numpy():
    schema = FeatureSchema.of({"a": np.int64(5)})
    assert type(schema.get_config()[0]["size"]) is int
    CTRData("x", schema, *split_arrays(np.zeros((20, 1)), np.arange(20) % 2, 0))
