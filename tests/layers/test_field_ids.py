import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import FieldIds
from tests.layers import checks

FIELDS = {"gender": 2, "age": 7, "zip": 300}
IDS = np.array([[0, 0, 0], [1, 6, 299], [1, 3, 150]], np.int32)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_adds_the_offset_of_each_field(dtype):
    rows = FieldIds(FIELDS)(IDS.astype(dtype))
    assert rows.dtype == tf.int32
    np.testing.assert_array_equal(rows, [[0, 2, 9], [1, 8, 308], [1, 5, 159]])


def test_small_integers_that_cannot_hold_a_size():
    rows = FieldIds(FIELDS)(np.array([[1, 6, 100]], np.int8))
    np.testing.assert_array_equal(rows, [[1, 8, 109]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, bool])
def test_ids_that_are_no_integers_are_not_cut(dtype):
    with pytest.raises(ValueError, match="`ids` must be integers: .*astype.*Received: dtype="):
        FieldIds(FIELDS)(IDS.astype(dtype))
    with pytest.raises(ValueError, match="`ids` must be integers"):
        FieldIds(FIELDS)(keras.Input((3,)))


def test_no_rows():
    assert FieldIds(FIELDS)(IDS[:0]).shape == (0, 3)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("column", "wrong", "message"),
    [
        (0, 2, r"field `gender` \(column 0\) must be in \[0, 2\)"),
        (1, -1, r"field `age` \(column 1\) must be in \[0, 7\)"),
        (2, 300, r"field `zip` \(column 2\) must be in \[0, 300\)"),
        (2, 2**32 + 5, r"field `zip` \(column 2\) must be in \[0, 300\)"),  # 5 if cut to int32
    ],
)
def test_an_id_outside_its_field(column, wrong, message, graph):
    ids = IDS.astype(np.int64)
    ids[1, column] = wrong
    layer = FieldIds(FIELDS)
    layer.build(ids.shape)
    call = tf.function(layer.call) if graph else layer
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(tf.constant(ids))


@pytest.mark.parametrize("fields", [{}, {"age": 0}, {"age": 3, "zip": -1}, {"age": 19.7}])
def test_fields_must_have_sizes(fields):
    with pytest.raises(
        ValueError, match="`fields` must map names to integer sizes of at least 1. Received"
    ):
        FieldIds(fields)


def test_more_rows_than_int32_can_name():
    layer = FieldIds({"a": 2**31 - 2, "b": 1})
    assert layer(np.array([[2**31 - 3, 0]])).numpy().tolist() == [[2**31 - 3, 2**31 - 2]]
    with pytest.raises(ValueError, match="at most 2,147,483,647 features in all.* 4,294,967,294"):
        FieldIds({"a": 2**31 - 1, "b": 2**31 - 1})


def test_number_of_columns():
    with pytest.raises(
        ValueError, match=r"`ids` must have 3 columns.*'age'.*Received: shape=\(3, 2\)"
    ):
        FieldIds(FIELDS)(IDS[:, :2])


def test_reload(tmp_path):
    checks.check_config(FieldIds(FIELDS))
    again = checks.check_reload(FieldIds(FIELDS), IDS, tmp_path)
    assert list(again.fields.items()) == list(FIELDS.items())


def test_jit_drops_the_check_but_not_the_offsets():
    layer = FieldIds(FIELDS)
    rows = tf.function(layer, jit_compile=True)(IDS)
    np.testing.assert_array_equal(rows, layer(IDS))
