"""Distinct rows copied to the places that ask for them, and gradients summed on the way back."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# TensorFlow's sparse product runs its plain loop for fewer columns than this.
_NARROW = 32
_LEAST = 8  # columns worth a product of their own


def spread(values: tf.Tensor, places: tf.Tensor, dtype: Any) -> tf.Tensor:
    """`values[places]` cast to `dtype`; the gradient is `summed`, in float32 for every `dtype`.

    Args:
        values: float32 [U, d], of distinct rows.
        places: int32, any shape, in [0, U).
        dtype: of the result.

    Returns:
        `dtype`, shape `places.shape + (d,)`.
    """

    @tf.custom_gradient
    def copied(values: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            upstream = tf.cast(upstream, values.dtype)
            rows = tf.reshape(upstream, [-1, values.shape[1]])
            return summed(rows, tf.reshape(places, [-1]), tf.shape(values)[0])

        # Copies short rows in less time than `tf.gather`.
        return tf.gather_nd(tf.cast(values, dtype), places[..., None]), gradient

    return copied(values)


def summed(values: tf.Tensor, places: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Sum of the rows that share a place, in the order in which they come.

    A product with the sparse matrix that has a one for each row: the same sums as
    `tf.math.unsorted_segment_sum`, bit for bit, in a quarter of its processor time at d = 24
    (`python -m benchmarks.sum_rows`).

    Args:
        values: float32 [n, d].
        places: int32 [n], in [0, count).
        count: number of places U.

    Returns:
        float32 [U, d], zeros where no row is.
    """
    width = _width(values.shape[1])
    # Wide rows are summed in parts, each of them narrow.
    parts, size = values.shape[1] // width, tf.size(places)
    total = tf.raw_ops.SparseTensorDenseMatMul(
        a_indices=_ones(places, parts),
        a_values=tf.ones([size * parts], values.dtype),
        a_shape=[count * parts, size * parts],
        b=tf.reshape(values, [size * parts, width]),
    )
    return tf.reshape(total, [count, values.shape[1]])


def _ones(places: tf.Tensor, parts: int) -> tf.Tensor:
    """Where the matrix has its ones, int32 [n * parts, 2]: part k of row i at `places[i]`.

    Column and row are computed as the halves of one number: half the passes, and none to put them
    side by side.
    """
    column = tf.constant(1 << 32, tf.int64)
    pairs = tf.cast(places, tf.int64) + column * tf.range(tf.size(places, tf.int64))
    if parts > 1:
        pairs = parts * pairs[:, None] + (1 + column) * tf.range(parts, dtype=tf.int64)
    return tf.bitcast(tf.reshape(pairs, [-1]), tf.int32)


def _width(dim: int) -> int:
    """Columns of the equal parts of a row: as many as a narrow product takes."""
    if dim < _NARROW:
        return dim
    widest = max(w for w in range(1, _NARROW) if dim % w == 0)
    return widest if widest >= _LEAST else dim
