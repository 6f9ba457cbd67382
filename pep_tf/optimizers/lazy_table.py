"""The rows of PEP embeddings, brought up to date when they are asked for."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pep_tf.layers import PEPEmbedding, Rows, StoredRows
from pep_tf.layers.pep_embedding import BLOCK_ENTRIES
from pep_tf.layers.spread import summed
from pep_tf.optimizers.catch_up import catch_up, gap_order, tile_rows
from pep_tf.optimizers.columns import Columns
from pep_tf.optimizers.hyper import Hyper
from pep_tf.optimizers.touch import touch


class Slot(NamedTuple):
    """A weight with one row a feature, the layer it is of, and the constants of its update."""

    value: keras.Variable
    layer: PEPEmbedding
    hyper: Hyper


class Taken(NamedTuple):
    """What a lookup found.

    Attributes:
        rows: the rows that were asked for.
        count: number of distinct rows.
        ids: distinct rows, those with the longest gap first, then the last one again and again until
            they fill whole tiles of the catch-up.
        places: for each row that was asked for, flattened, its place among `ids`.
        stored: value of each slot as it is stored, in the order of `ids`.
        values: value of each slot, up to date.
        p: the same, side by side.
        moments: m of all slots side by side, then n of all, up to date.
    """

    rows: tf.Tensor
    count: tf.Tensor
    ids: tf.Tensor
    places: tf.Tensor
    stored: tuple[tf.Tensor, ...]
    values: Sequence[tf.Tensor]
    p: tf.Tensor
    moments: tf.Tensor


class LazyTable:
    """Tables and thresholds whose rows are only updated when a batch holds them.

    The stored row is that of the step at which it was last touched (`last`, 0 before the first
    time). `take` brings rows up to date for a batch without writing; `touch` stores them after the
    batch's gradient. `look` brings any rows up to date and changes nothing. Layers that are always
    asked for the same rows form one table, so that these are found, brought up to date and written
    together.

    Args:
        slots: the weights: of each layer the table, then its thresholds if these have one row a
            feature.
        moments: float32 [N, 2 x columns of the slots], m of all slots side by side, then n of all: a
            row of them is read and written as one.
        last: int32 [N].
        steps: the optimizer's counter of finished steps.
    """

    def __init__(
        self,
        slots: tuple[Slot, ...],
        moments: keras.Variable,
        last: keras.Variable,
        steps: Any,
    ) -> None:
        self.slots, self.moments, self.last, self._steps = slots, moments, last, steps
        self.columns = Columns(
            tuple(slot.hyper for slot in slots), tuple(slot.value.shape[1] for slot in slots)
        )
        self._graph: Any = None
        self._lookups: list[Taken] = []
        self._gradients: list[tf.Tensor] = []
        for layer in self.layers():
            layer.supports_jit = False  # the number of distinct rows changes from batch to batch
            layer.source = LazyRows(self, layer)

    def layers(self) -> list[PEPEmbedding]:
        """The layers whose weights are here."""
        return list({id(slot.layer): slot.layer for slot in self.slots}.values())

    def take(self, rows: tf.Tensor, distinct: bool = False) -> Taken:
        """Distinct rows of a batch, up to date; just once in a step for all layers."""
        if self._graph is not _graph() or self._gradients:
            self._graph = _graph()
            self._lookups.clear()
            self._gradients.clear()
        for taken in self._lookups:
            if taken.rows is rows:
                return taken
        flat = tf.reshape(rows, [-1])
        ids, places = (flat, tf.range(tf.size(flat))) if distinct else tf.unique(flat)
        taken = self._taken(rows, ids, places)
        if not tf.executing_eagerly():
            self._lookups.append(taken)
        return taken

    def look(self, rows: tf.Tensor) -> Taken:
        """Rows [n], up to date, without writing."""
        return self._taken(rows, rows, tf.range(tf.size(rows)))

    def _taken(self, rows: tf.Tensor, ids: tf.Tensor, places: tf.Tensor) -> Taken:
        """Distinct rows `ids`, up to date; `places` point into them."""
        count, size = tf.size(ids), tile_rows(self.columns.count)
        filled = tf.minimum(tf.range(-(-count // size) * size), count - 1)
        now = tf.cast(self._steps._value, tf.int32)
        last = tf.gather(self.last._value, ids)
        if self.columns.count > 1:  # a single column is brought up to date in less time than sorted
            # The tiles that take longest begin first: no core waits long for the other at the end.
            order = gap_order(last, now)
            filled = tf.gather(order, filled)
            places = tf.gather(tf.math.invert_permutation(order), places)
        ids, last = tf.gather(ids, filled), tf.gather(last, filled)
        stored = tuple(tf.gather(slot.value._value, ids) for slot in self.slots)
        moments = tf.gather(self.moments._value, ids)
        p, moments = catch_up(tf.concat(stored, 1), moments, last, now, self.columns)
        values = tf.split(p, self.columns.dims, axis=1)
        return Taken(rows, count, ids, places, stored, values, p, moments)

    def touch(self, gradient: tf.IndexedSlices, scale: tf.Tensor, floor: tf.Tensor) -> None:
        """Receives the gradient of one slot after the other; with the last one, does the step.

        Args:
            gradient: of the slot whose turn it is.
            scale, floor: of the step (see `touch`).
        """
        taken, own = self._summed(gradient)
        self._gradients.append(own)
        if len(self._gradients) < len(self.slots):
            return
        whole = tf.concat(self._gradients, axis=1)
        p, moments = touch(self.columns)(taken.p, taken.moments, whole, scale, floor)
        self._write(taken, p, moments, self._steps._value + 1)
        self._lookups.clear()
        self._gradients.clear()

    def waits_for(self) -> list[str]:
        """Weights whose gradient is missing to do a step for which others have come."""
        return [slot.value.path for slot in self.slots[len(self._gradients) :] if self._gradients]

    def _summed(self, gradient: tf.IndexedSlices) -> tuple[Taken, tf.Tensor]:
        """The rows that a gradient is for, up to date, and its sum for each of them.

        A lookup has computed both if there was just one since the last step; else they are found
        from the gradient's ids, in an order that is the same for all slots.
        """
        if len(self._lookups) == 1 and self._graph is _graph():
            return self._lookups[0], gradient.values
        ids = tf.sort(tf.unique(gradient.indices).y)
        taken = self._taken(gradient.indices, ids, tf.searchsorted(ids, gradient.indices))
        return taken, summed(gradient.values, taken.places, tf.size(taken.ids))

    def _write(self, taken: Taken, p: tf.Tensor, moments: tf.Tensor, step: tf.Tensor) -> None:
        """Stores distinct rows as those after `step`."""
        ids, start = taken.ids[: taken.count], 0
        for slot, dim in zip(self.slots, self.columns.dims, strict=True):
            _scatter(slot.value, ids, p[: taken.count, start : start + dim])
            start += dim
        # A slice of whole tiles is not copied, one of rows is.
        columns, size = 2 * self.columns.count, tile_rows(self.columns.count)
        whole = tf.reshape(moments, [-1, size * columns])[: taken.count // size]
        full = tf.shape(whole)[0] * size
        _scatter(self.moments, ids[:full], tf.reshape(whole, [-1, columns]))
        _scatter(self.moments, ids[full:], moments[full : taken.count])
        _scatter(self.last, ids, tf.fill(tf.shape(ids), tf.cast(step, tf.int32)))

    def settle(self) -> None:
        """Writes every row up to date, in blocks, and gives the layers back their stored rows."""
        num_rows, block = self.last.shape[0], max(1, BLOCK_ENTRIES // self.columns.count)
        for start in range(0, num_rows, block):
            taken = self.look(tf.range(start, min(start + block, num_rows)))
            self._write(taken, taken.p, taken.moments, self._steps._value)
        for layer in self.layers():
            layer.source = StoredRows(layer)


class LazyRows:
    """The rows of one layer in a `LazyTable`."""

    def __init__(self, table: LazyTable, layer: PEPEmbedding) -> None:
        self._table, self._stored = table, StoredRows(layer)
        self._places = [i for i, slot in enumerate(table.slots) if slot.layer is layer]

    def take(self, rows: tf.Tensor, distinct: bool = False) -> Rows:
        """Distinct rows of a batch, up to date; their gradient goes to the layer's weights."""
        taken = self._table.take(rows, distinct)
        values = [_seen(taken.stored[i], taken.values[i]) for i in self._places]
        return self._rows(values, taken.ids, tf.reshape(taken.places, tf.shape(rows)))

    def look(self, rows: tf.Tensor) -> Rows:
        """Rows, up to date, without writing."""
        taken = self._table.look(rows)
        return self._rows([tf.gather(taken.values[i], taken.places) for i in self._places], rows)

    def _rows(
        self, values: Sequence[tf.Tensor], ids: tf.Tensor, places: tf.Tensor | None = None
    ) -> Rows:
        thresholds = values[1] if len(values) > 1 else self._stored.thresholds(ids)
        return Rows(values[0], thresholds, ids, places)


@tf.custom_gradient
def _seen(stored: tf.Tensor, now: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """The value `now`, whose gradient goes to the stored one."""
    return tf.identity(now), lambda gradient: (gradient, None)


def _graph() -> Any:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _scatter(variable: keras.Variable, ids: tf.Tensor, rows: tf.Tensor) -> None:
    tf.raw_ops.ResourceScatterUpdate(resource=variable._value.handle, indices=ids, updates=rows)
