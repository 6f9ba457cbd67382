"""Distinct rows copied to the places that ask for them, and gradients summed on the way back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from pep_tf.device import on_gpu

# TensorFlow's sparse product runs its plain loop for fewer columns than this.
_NARROW = 32
_LEAST = 8  # columns worth a product of their own


class Order(NamedTuple):
    """Places from the first to the last, for sums whose order no device decides.

    Attributes:
        places: as they are sorted, int64 [n].
        at: where each of them comes from, int64 [n].
        ends: for each place the number of those up to it, int64 [U].
        count: how many places are in use, int64; the others get zeros.
    """

    places: tf.Tensor
    at: tf.Tensor
    ends: tf.Tensor
    count: tf.Tensor

    @classmethod
    def of(cls, places: tf.Tensor, count: tf.Tensor, size: tf.Tensor) -> "Order":
        """The order of `places`, int64 in [0, count), each at least once, in an array of `size`."""
        places = tf.reshape(places, [-1])
        at = tf.cast(tf.argsort(places, stable=True), tf.int64)
        sorted_places = tf.gather(places, at)
        ends = tf.searchsorted(sorted_places, tf.range(size), "right", out_type=tf.int64)
        return cls(sorted_places, at, ends, count)


def wide(rows: tf.Tensor) -> tf.Tensor:
    """Row numbers as int64 on a GPU, since TensorFlow has int32 operations on the host only."""
    return tf.cast(rows, tf.int64) if on_gpu() else rows


def distinct(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The distinct rows in order of first appearance, and for each of `rows` its place among them.

    Returns:
        Integers [U] and the shape of `rows`.
    """
    rows = wide(rows)
    ids, places = tf.unique(tf.reshape(rows, [-1]), tf.int64 if on_gpu() else tf.int32)
    return ids, tf.reshape(places, tf.shape(rows))


def expand(
    values: tf.Tensor, places: tf.Tensor, dtype: Any, order: Order | None = None
) -> tf.Tensor:
    """`values[places]` cast to `dtype`; the gradient is `summed`, in float32 for every `dtype`.

    Args:
        values: float32 [U, d], of distinct rows.
        places: integers of any shape, in [0, U).
        dtype: of the result.
        order: of the places, where it was found before: XLA has no sum by places that is fast and
            the same each time.

    Returns:
        `dtype`, shape `places.shape + (d,)`.
    """

    @tf.custom_gradient
    def copied(values: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            upstream = tf.cast(upstream, values.dtype)
            rows = tf.reshape(upstream, [-1, values.shape[1]])
            if order is not None:
                return summed_in_order(rows, order)
            return summed(rows, tf.reshape(places, [-1]), tf.shape(values)[0])

        # Copies short rows in less time than `tf.gather`.
        return tf.gather_nd(tf.cast(values, dtype), places[..., None]), gradient

    return copied(values)


def summed(values: tf.Tensor, places: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Sum of the rows that share a place, in the order in which they come.

    On a CPU a product with the sparse matrix that has a one for each row: the same sums as
    `tf.math.unsorted_segment_sum`, bit for bit, in a quarter of its processor time at d = 24
    (`python -m benchmarks.sum_rows`). On a GPU that product refuses determinism, while the segment
    sum sorts the places first.

    Args:
        values: float32 [n, d].
        places: integers [n], in [0, count).
        count: number of places U.

    Returns:
        float32 [U, d], zeros where no row is.
    """
    if on_gpu():
        return tf.math.unsorted_segment_sum(values, places, count)
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


def summed_in_order(values: tf.Tensor, order: Order) -> tf.Tensor:
    """The same within XLA, by a segmented scan: each pass adds twice as many earlier rows of a place.

    Args:
        values: float32 [n, d].
        order: of their places.

    Returns:
        float32 [U, d].
    """
    rows, size = tf.gather(values, order.at), tf.size(order.at, tf.int64)
    index, powers = tf.range(size), tf.constant([1 << i for i in range(32)], tf.int64)

    def doubled(i: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        before = index - powers[i]
        at = tf.maximum(before, 0)
        same = (before >= 0) & (tf.gather(order.places, at) == order.places)
        return i + 1, rows + tf.where(same[:, None], tf.gather(rows, at), 0.0)

    # XLA knows the sizes, and with them how often this runs: it need not ask the GPU.
    passes = tf.reduce_sum(tf.cast(powers < size, tf.int32))
    _, rows = tf.while_loop(lambda i, _: i < passes, doubled, (0, rows))
    used = tf.range(tf.size(order.ends, tf.int64)) < order.count
    return tf.where(used[:, None], tf.gather(rows, order.ends - 1), 0.0)


def _ones(places: tf.Tensor, parts: int) -> tf.Tensor:
    """Positions of the ones of the matrix, int32 [n * parts, 2]: part k of row i at `places[i]`.

    Each pair of column and row is computed as one int64: half as many passes over memory as two int32
    arrays, and no pass to interleave them.
    """
    column = tf.constant(1 << 32, tf.int64)
    pairs = tf.cast(places, tf.int64) + column * tf.range(tf.size(places, tf.int64))
    if parts > 1:
        pairs = parts * pairs[:, None] + (1 + column) * tf.range(parts, dtype=tf.int64)
    return tf.bitcast(tf.reshape(pairs, [-1]), tf.int32)


def _width(dim: int) -> int:
    """Columns of the equal parts that a row is split into, so that each product is narrow."""
    if dim < _NARROW:
        return dim
    widest = max(w for w in range(1, _NARROW) if dim % w == 0)
    return widest if widest >= _LEAST else dim
