import numpy as np
import pytest
import tensorflow as tf

from pep_tf.tables.distinct import expand, summed


def test_rows_are_copied_to_their_places() -> None:
    values = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    found = expand(values, tf.constant([[1, 0], [1, 1]]), "float32")
    np.testing.assert_array_equal(found, [[[3, 4], [1, 2]], [[3, 4], [3, 4]]])


def test_gradients_of_a_row_are_summed() -> None:
    values = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    places = tf.constant([[1, 0], [1, 1]])
    upstream = tf.constant([[[1.0, 10.0], [2.0, 20.0]], [[4.0, 40.0], [8.0, 80.0]]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        found = expand(values, places, "float32")
    # Row 1 is at three places, row 0 at one, row 2 at none.
    expected = [[2, 20], [1 + 4 + 8, 10 + 40 + 80], [0, 0]]
    np.testing.assert_array_equal(tape.gradient(found, values, upstream), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_dtypes_are_summed_in_float32(dtype: str) -> None:
    values, places = tf.constant([[1.0]]), tf.zeros([3000], tf.int32)
    with tf.GradientTape() as tape:
        tape.watch(values)
        found = expand(values, places, dtype)
    assert found.dtype == dtype
    # In float16 a sum of ones stops at 2,048, in bfloat16 at 256.
    assert tape.gradient(found, values, tf.ones_like(found)).numpy().tolist() == [[3000.0]]


# 37 and 64 are wider than the narrow product takes: one is prime, one is summed in parts.
@pytest.mark.parametrize("dim", [1, 3, 31, 32, 37, 64])
@pytest.mark.parametrize("count", [0, 500])
def test_the_same_bits_as_a_segment_sum(dim: int, count: int) -> None:
    rng = np.random.default_rng(dim)
    places = tf.constant(rng.integers(0, 40, count), tf.int32)
    values = tf.constant(rng.normal(size=(count, dim)), tf.float32)
    found = summed(values, places, tf.constant(50))
    np.testing.assert_array_equal(found, tf.math.unsorted_segment_sum(values, places, 50))
