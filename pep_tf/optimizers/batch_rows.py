"""The rows of a batch for a GPU: padded, so that XLA compiles for few numbers of rows."""

from typing import NamedTuple

import tensorflow as tf

_HALVINGS = 3  # the smallest number of rows is an eighth of the largest


class BatchRows(NamedTuple):
    """Rows as they are stored, read for a step.

    Attributes:
        ids: distinct rows [C], then the last one again and again until C is a `capacity`.
        count: number of distinct rows, int64.
        places: of the rows that were asked for among `ids`, int64 of their shape.
        last: the step at which each was stored, int64 [C].
        now: the step that is done, int64.
        p: of all variables side by side, float32 [C, width].
        moments: float32 [C, 2 x width].
    """

    ids: tf.Tensor
    count: tf.Tensor
    places: tf.Tensor
    last: tf.Tensor
    now: tf.Tensor
    p: tf.Tensor
    moments: tf.Tensor


def capacity(count: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """The padded number of rows: the least of `most`, its half, quarter and eighth that holds them.

    Args:
        count: number of rows, an integer.
        most: the largest number that there can be, as `count`.
    """
    size = most
    for halving in range(1, _HALVINGS + 1):
        less = -(-most // 2**halving)
        size = tf.where(count <= less, less, size)
    return size


def power_of_two(count: tf.Tensor) -> tf.Tensor:
    """The smallest power of two that is at least `count`, int64."""
    powers = tf.constant([1 << i for i in range(32)], tf.int64)
    return tf.gather(powers, tf.searchsorted(powers, count[None], out_type=tf.int64)[0])


def filled(ids: tf.Tensor, most: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Distinct rows, padded with the last one, and their number, int64.

    Args:
        ids: integers [U].
        most: as in `capacity`, int64.
    """
    count = tf.size(ids, tf.int64)
    size = capacity(count, most)
    return tf.gather(ids, tf.minimum(tf.range(size), count - 1)), count
