"""The part of a global batch that a worker takes, and what layers need to know of the whole."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

from pep_tf.distributed.group import Group

_share: "Share | None" = None


class Share(NamedTuple):
    """Rows `first` up to `first + rows` of the `total` rows of a batch.

    Worker r of W takes rows `B r // W` to `B (r + 1) // W`: all rows are taken once, whatever their
    number, and all workers do the same number of steps.
    """

    group: Group
    total: tf.Tensor
    first: tf.Tensor
    rows: tf.Tensor

    @classmethod
    def of(cls, group: Group, total: tf.Tensor) -> "Share":
        """Of a batch of so many rows, int32."""
        first, end = (total * (group.rank + i) // group.size for i in range(2))
        return cls(group, total, first, end - first)

    def cut(self, whole: tf.Tensor) -> tf.Tensor:
        """The worker's rows of a tensor that has the batch's."""
        return whole[self.first : self.first + self.rows]

    def moments(self, values: tf.Tensor, axes: Sequence[int] = (0,)) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance over axes, the first that of rows, of the whole batch; differentiable."""
        each = tf.reduce_prod([1, *(tf.shape(values)[axis] for axis in axes if axis)])
        count = tf.cast(self.total * each, values.dtype)

        def mean(of: tf.Tensor) -> tf.Tensor:
            return self.group.differentiable_sum(tf.reduce_sum(of, axes, keepdims=True)) / count

        middle = mean(values)
        spread = mean(tf.square(values - middle))
        return tf.squeeze(middle, axes), tf.squeeze(spread, axes)


def share() -> Share | None:
    """The share that is trained on where this is called; None where a batch is not shared."""
    return _share


@contextlib.contextmanager
def sharing(own: Share) -> Iterator[Share]:
    """Has layers that are traced inside know that they see a share of a batch."""
    global _share
    before, _share = _share, own
    try:
        yield own
    finally:
        _share = before
