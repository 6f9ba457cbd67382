"""The rows of one PEP embedding, brought up to date when they are asked for."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pep_tf.layers import PEPEmbedding, Rows, StoredRows
from pep_tf.optimizers.catch_up import catch_up, gap_order
from pep_tf.optimizers.hyper import Hyper


class Slot(NamedTuple):
    """A weight with one row a feature, and what Adam keeps of it."""

    value: keras.Variable
    m: keras.Variable
    n: keras.Variable
    hyper: Hyper


class Taken(NamedTuple):
    """What a lookup found.

    Attributes:
        ids: distinct rows, those touched last before the others.
        places: for each row that was asked for, its place among `ids`.
        stored: value of each slot as it is stored, in the order of `ids`.
        states: value, m and n of each slot, up to date.
    """

    ids: tf.Tensor
    places: tf.Tensor
    stored: tuple[tf.Tensor, ...]
    states: tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], ...]


class DistinctRows:
    """The distinct rows of a batch, found once for all tables that are asked for the same batch."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._rows: tf.Tensor | None = None
        self._found: tuple[tf.Tensor, tf.Tensor]

    def __call__(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Distinct rows [U], and for each of `rows`, flattened, its place among them."""
        if self._rows is not rows or self._graph is not _graph():
            self._graph, self._rows = _graph(), rows
            self._found = tuple(tf.unique(tf.reshape(rows, [-1])))
        return self._found


class LazyTable:
    """Table and thresholds of a layer whose rows are only updated when a batch holds them.

    The stored row is that of the step at which it was last touched (`last`, 0 before the first
    time). `take` brings rows up to date for a batch without writing; `write` stores them after the
    batch's gradient. `look` brings any rows up to date and changes nothing.

    Args:
        layer: a built `PEPEmbedding`.
        slots: its table, then its thresholds if these have one row a feature.
        last: int32 [N].
        steps: the optimizer's counter of finished steps.
        distinct: shared by the tables of a model.
    """

    def __init__(
        self,
        layer: PEPEmbedding,
        slots: tuple[Slot, ...],
        last: keras.Variable,
        steps: Any,
        distinct: DistinctRows,
    ) -> None:
        self.layer, self.slots, self.last, self._steps = layer, slots, last, steps
        self._distinct = distinct
        self._stored = StoredRows(layer)
        layer.supports_jit = False  # the number of distinct rows changes from batch to batch
        self._pending: list[tuple[Any, Taken]] = []

    def take(self, rows: tf.Tensor) -> Rows:
        """Distinct rows of a batch, up to date; their gradient goes to the layer's weights."""
        taken = self._taken(*self._distinct(rows))
        self._pending.append((_graph(), taken))
        # The gradient of the current value goes to the stored one.
        values = [
            stored + tf.stop_gradient(state[0] - stored)
            for stored, state in zip(taken.stored, taken.states, strict=True)
        ]
        return self._rows(values, taken.ids, tf.reshape(taken.places, tf.shape(rows)))

    def look(self, rows: tf.Tensor) -> Rows:
        """Rows, up to date, without writing."""
        taken = self._taken(rows, tf.range(tf.size(rows)))
        values = [tf.gather(state[0], taken.places) for state in taken.states]
        return self._rows(values, rows)

    def _rows(
        self, values: list[tf.Tensor], ids: tf.Tensor, places: tf.Tensor | None = None
    ) -> Rows:
        thresholds = values[1] if len(values) > 1 else self._stored.thresholds(ids)
        return Rows(values[0], thresholds, ids, places)

    def _taken(self, ids: tf.Tensor, places: tf.Tensor) -> Taken:
        """Distinct rows `ids`, up to date; `places` point into them."""
        last = tf.gather(self.last._value, ids)
        now = tf.cast(self._steps._value, tf.int32)
        order = gap_order(last, now)
        ids, last = tf.gather(ids, order), tf.gather(last, order)

        stored, states = [], []
        for slot in self.slots:
            value, m, n = (tf.gather(variable._value, ids) for variable in slot[:3])
            stored.append(value)
            states.append(catch_up(value, m, n, last, now, slot.hyper))
        places = tf.gather(tf.math.invert_permutation(order), places)
        return Taken(ids, places, tuple(stored), tuple(states))

    def pending(self, gradient: tf.IndexedSlices) -> tuple[Taken, tf.Tensor]:
        """The rows that a gradient is for, up to date, and its sum for each of them.

        A lookup has computed both if there was just one since the last step; else they are found
        from the gradient's ids.
        """
        graph = _graph()
        if len(self._pending) == 1 and self._pending[0][0] is graph:
            return self._pending[0][1], gradient.values
        taken = self._taken(*tf.unique(gradient.indices))
        return taken, tf.math.unsorted_segment_sum(
            gradient.values, taken.places, tf.size(taken.ids)
        )

    def place_of(self, slot: Slot) -> int:
        """Index of a slot among `slots`, and of its state in `Taken.states`."""
        return next(index for index, own in enumerate(self.slots) if own.value is slot.value)

    def write(self, slot: Slot, ids: tf.Tensor, state: tuple[tf.Tensor, ...]) -> None:
        """Stores rows of one slot."""
        for variable, rows in zip(slot[:3], state, strict=True):
            _scatter(variable, ids, rows)

    def stamp(self, ids: tf.Tensor) -> None:
        """Marks rows as touched by the step under way; what was pending is done with."""
        step = tf.cast(self._steps._value + 1, tf.int32)
        _scatter(self.last, ids, tf.fill(tf.shape(ids), step))
        self._pending.clear()

    def settle(self) -> None:
        """Writes every row up to date, in blocks, and gives the layer back its stored rows."""
        rows = max(1, (1 << 22) // self.layer.output_dim)
        for start in range(0, self.layer.input_dim, rows):
            ids = tf.range(start, min(start + rows, self.layer.input_dim))
            taken = self._taken(ids, tf.range(tf.size(ids)))
            for slot, state in zip(self.slots, taken.states, strict=True):
                self.write(slot, taken.ids, state)
            now = tf.cast(self._steps._value, tf.int32)
            _scatter(self.last, taken.ids, tf.fill(tf.shape(taken.ids), now))
        self.layer.source = self._stored


def _graph() -> Any:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _scatter(variable: keras.Variable, ids: tf.Tensor, rows: tf.Tensor) -> None:
    tf.raw_ops.ResourceScatterUpdate(resource=variable._value.handle, indices=ids, updates=rows)
