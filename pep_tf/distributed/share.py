"""The part of a global batch that a worker takes, and what layers need to know of the whole."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from pep_tf.device import compiled, on_gpu
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

    def moments(
        self, values: tf.Tensor, axes: Sequence[int] = (0,), total: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance over axes, the first that of rows, of the whole batch; differentiable.

        Args:
            values: of this worker.
            axes: as above.
            total: the `summed` of the values over the axes, where it is known.
        """
        each = tf.reduce_prod([1, *(tf.shape(values)[axis] for axis in axes if axis)])
        count = tf.cast(self.total * each, values.dtype)
        total = summed(values, axes) if total is None else total
        middle = self.group.differentiable_sum(total) / count
        off = between_messages(lambda x, middle: summed(tf.square(x - middle), axes))
        spread = self.group.differentiable_sum(off(values, middle)) / count
        return tf.squeeze(middle, axes), tf.squeeze(spread, axes)


def summed(values: tf.Tensor, axes: Sequence[int] = (0,)) -> tf.Tensor:
    """Sums over axes, which stay as axes of 1."""
    return tf.reduce_sum(values, axes, keepdims=True)


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


def between_messages(function: Callable[..., Any]) -> Callable[..., Any]:
    """Has XLA compile, for a GPU, what a step on a share of a batch computes without any message.

    A step that is not shared is compiled as a whole, or not at all.
    """
    return compiled(function) if _share is not None and on_gpu() else function
