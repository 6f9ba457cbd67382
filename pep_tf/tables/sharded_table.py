"""A table sharded over W workers: row i is on worker i mod W."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.device import on_gpu
from pep_tf.distributed import Group
from pep_tf.distributed.group import bits_of, ids_of, padded_size
from pep_tf.tables.distinct import distinct, expand, wide
from pep_tf.tables.row_table import Found, RowTable
from pep_tf.tables.row_variable import RowVariable

_NOBODY = -1  # where a part is filled up


class Route:
    """The exchange of rows: from the workers that have them to those that ask, gradients back.

    Each worker asks each other one for distinct rows. What is asked of different workers is filled up
    to one size, which is as large as the largest part needs.

    Args:
        group: the workers.
        rows: those that are asked for, int32 of any shape.

    Attributes:
        asked: rows of this worker's part that others, and itself, have asked it for, int32 [n]; where
            a part is filled up, any of them once more, whose gradient is then 0.
    """

    def __init__(self, group: Group, rows: tf.Tensor) -> None:
        self._group = group
        ids, places = distinct(rows)
        kind, workers = ids.dtype, tf.range(group.size, dtype=ids.dtype)
        order = tf.argsort(ids % group.size, stable=True)
        ids = tf.gather(ids, order)
        ends = tf.searchsorted(ids % group.size, workers, "right", kind)
        first = tf.concat([tf.zeros([1], kind), ends[:-1]], 0)
        self._slots, self._kind = padded_size(group.most(tf.reduce_max(ends - first)))
        number = first[:, None] + tf.range(tf.cast(self._slots, kind))
        own = tf.concat([ids // group.size, tf.fill([1], tf.cast(_NOBODY, kind))], 0)
        asked = tf.gather(own, tf.where(number < ends[:, None], number, ends[-1]))
        received = ids_of(self._swapped(bits_of(tf.reshape(asked, [-1]))[:, None])[:, 0], kind)
        some = tf.maximum(tf.reduce_max(received), 0)
        self.asked = tf.where(received == _NOBODY, some, received)
        # The place of each distinct row in what comes back: after the filling of the workers before.
        owner = ids % group.size
        slot = owner * tf.cast(self._slots, kind) - tf.gather(first, owner)
        slot += tf.range(tf.size(ids, kind))
        back = tf.argsort(wide(order)) if on_gpu() else tf.math.invert_permutation(order)
        self._places = tf.gather(tf.gather(slot, back), places)

    def back(self, values: tf.Tensor) -> tf.Tensor:
        """Values of the rows `asked`, [n, d], to those that a batch asked for, [..., d]; differentiable."""

        @tf.custom_gradient
        def exchanged(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            return self._swapped(values), self._swapped

        return expand(exchanged(values), self._places, values.dtype)

    def _swapped(self, values: tf.Tensor) -> tf.Tensor:
        """[W x slots, d]: part j goes to worker j, part i comes from worker i."""
        parts = tf.reshape(values, [self._group.size, self._slots, values.shape[1]])
        return tf.reshape(self._group.swap(parts, self._kind), [-1, values.shape[1]])


class ShardedTable(RowTable):
    """A `RowTable` whose variables hold this worker's rows, `rank`, `rank + W`, ... of all.

    A lookup is done by all workers at once. Each brings up to date, and later updates, the rows of its
    own part that any of them asked for: there is one copy of each row.

    Args:
        variables: float32 [rows of this worker, width] each.
        group: the workers.
        total_rows: N.
    """

    def __init__(self, variables: Sequence[RowVariable], group: Group, total_rows: int) -> None:
        super().__init__(variables)
        self.group, self.total_rows = group, total_rows

    def like(self, variables: Sequence[RowVariable]) -> "ShardedTable":
        return ShardedTable(variables, self.group, self.total_rows)

    @property
    def entries(self) -> int:
        return super().entries // max(1, self.num_rows) * self.total_rows

    def lookup(self, rows: tf.Tensor, distinct: bool = False) -> Found:
        route = Route(self.group, rows)
        return self.own_lookup(route.asked)._replace(route=route)

    def numbers(self, rows: tf.Tensor) -> tf.Tensor:
        return rows * self.group.size + self.group.rank

    def own(self, rows: np.ndarray) -> np.ndarray:
        return rows[rows % self.group.size == self.group.rank] // self.group.size

    def part_of(self, whole: Any) -> Any:
        return whole[self.group.rank :: self.group.size]


def rows_of(group: Group, total_rows: int) -> int:
    """The number of rows of a table that a worker has."""
    return len(range(group.rank, total_rows, group.size))


def is_sharded(variable: object) -> bool:
    """Whether a variable is sharded: a table's, or an optimizer's state of it."""
    return isinstance(getattr(variable, "_row_table", None), ShardedTable)


def whole_shape(value: Any) -> list[int]:
    """The shape of a variable or array, with the rows of all workers if it is sharded."""
    shape = list(value.shape)
    return [value._row_table.total_rows, *shape[1:]] if is_sharded(value) else shape


def interleaved(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of all workers in the order of their numbers."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole
