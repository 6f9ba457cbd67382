"""Weights that share their rows: looked up together, and kept up to date by their optimizer."""

import contextlib
import gc
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from pep_tf.tables.distinct import Order, wide
from pep_tf.tables.picked import Picked
from pep_tf.tables.row_variable import RowVariable

THRESHOLDS = "thresholds"  # name of the weights that are no entries of a table
_EXPORTERS = ("keras.src.export", "tensorflow.python.saved_model", "tensorflow.lite")
BLOCK_ENTRIES = 1 << 22  # entries of a block when a whole table is walked: 16 MiB of float32


class Found(NamedTuple):
    """What a lookup found.

    Attributes:
        rows: the rows that were asked for, integers of any shape.
        values: these rows of each variable of the table, float32 [U, width].
        ids: the numbers of these rows, [U]; equal to `rows` if `places` is None.
        places: the place among `ids` of each of `rows`, in the shape of `rows`, or None.
        state: what the optimizer needs later to apply the gradient of these rows.
        order: the sorting order of `places`, if it is known.
        route: how the rows return to the workers, if several workers asked for them.
    """

    rows: tf.Tensor
    values: tuple[tf.Tensor, ...]
    ids: tf.Tensor
    places: tf.Tensor | None = None
    state: Any = None
    order: Order | None = None
    route: Any = None


class Keeper(Protocol):
    """What an optimizer does for a table that it trains."""

    @property
    def by_row(self) -> bool:
        """Whether rows that no batch held may be behind; then `find` brings them up to date."""
        ...

    def behind(self) -> bool:
        """Whether a stored row may be behind."""
        ...

    def find(self, rows: tf.Tensor, distinct: bool) -> Found:
        """Rows of a batch, up to date; nothing is stored."""
        ...

    def current(self, variables: Sequence[RowVariable]) -> list[tf.Tensor]:
        """Whole variables of the table up to date; nothing is stored."""
        ...

    def flush(self) -> None:
        """Stores every row up to date."""
        ...

    def changed(self) -> None:
        """Is called when stored rows were replaced by those of another step."""
        ...

    def loaded(self) -> None:
        """Is called when all of its state and the stored rows were replaced."""
        ...

    def release(self) -> None:
        """Brings every row up to date for the next optimizer."""
        ...


class RowTable:
    """Variables with the same rows, of one layer or of several that are looked up together.

    Args:
        variables: float32 [N, width] each.
        single: whether a row is a single entry of what the layer looks up, so that a batch holds
            many more rows than it has ids.

    Attributes:
        keeper: who brings rows up to date; None while no optimizer of this package trains them.
        held: what a lookup gives within a compiled step, which found it before; else None.
    """

    def __init__(self, variables: Sequence[RowVariable], single: bool = False) -> None:
        self.variables, self.single = tuple(variables), single
        self.keeper: Keeper | None = None
        self.held: Found | None = None
        self._plain: weakref.WeakSet[Any] = weakref.WeakSet()
        for variable in self.variables:
            variable.row_table = self

    @classmethod
    def joined(cls, tables: Sequence["RowTable"]) -> "RowTable":
        """One table of the variables of several, which have the same number of rows."""
        return tables[0].like([variable for table in tables for variable in table.variables])

    def like(self, variables: Sequence[RowVariable]) -> "RowTable":
        """A table of these variables, of the same kind as this one."""
        return RowTable(variables, self.single)

    @property
    def num_rows(self) -> int:
        """N."""
        return int(self.variables[0].shape[0])

    @property
    def width(self) -> int:
        """Columns of all variables."""
        return sum(int(variable.shape[1]) for variable in self.variables)

    @property
    def entries(self) -> int:
        """Entries of its tables, N x d; thresholds do not count."""
        widths = (v.shape[1] for v in self.variables if v.name != THRESHOLDS)
        return self.num_rows * sum(map(int, widths))

    def place(self, variable: RowVariable) -> int:
        """Index of a variable of this table."""
        return next(i for i, own in enumerate(self.variables) if own is variable)

    def lookup(self, rows: tf.Tensor, distinct: bool = False) -> Found:
        """Rows of a batch, up to date and differentiable.

        Args:
            rows: integers of any shape, in [0, N).
            distinct: True promises that no row comes twice.
        """
        return self.own_lookup(rows, distinct)

    def numbers(self, rows: tf.Tensor) -> tf.Tensor:
        """The numbers in the whole table of rows of this process."""
        return rows

    def own(self, rows: np.ndarray) -> np.ndarray:
        """The rows of this process among these numbers."""
        return rows

    def part_of(self, whole: Any) -> Any:
        """The values of this process's rows, from those of all rows."""
        return whole

    def own_lookup(self, rows: tf.Tensor, distinct: bool = False) -> Found:
        """The same for rows of this process."""
        if self.held is not None:
            return self.held
        rows = wide(rows)
        if (scoped := self._scoped(rows)) is not None:
            return scoped
        if is_exported():
            if self.keeper is not None:
                with tf.init_scope():
                    self.keeper.flush()
            return self._stored(rows)
        if self.keeper is not None and self.keeper.by_row:
            found = self.keeper.find(rows, distinct)
            linked = (
                _linked(v, now, gradient_of_found(v, found))
                for v, now in zip(self.variables, found.values, strict=True)
            )
            return found._replace(values=tuple(linked))
        self._seen_plainly()
        if self.keeper is not None:  # which sums the gradients of repeated rows itself
            return self._stored(rows)
        values = (
            _linked(v, tf.stop_gradient(tf.gather(v.raw, rows)), _dense(v, rows))
            for v in self.variables
        )
        return Found(rows, tuple(values), rows)

    def pick(self, ids: tf.Tensor, size: tf.Tensor) -> Picked:
        """Distinct rows int64 [U] go to the first of `size` places, in their order."""
        return Picked.of(ids, tf.range(tf.size(ids, tf.int64)), size, self.num_rows)

    @contextlib.contextmanager
    def holding(self, found: Found) -> Iterator[Found]:
        """Makes lookups return what was found before, so that gradients are taken of those values."""
        self.held = found
        try:
            yield found
        finally:
            self.held = None

    def _scoped(self, rows: tf.Tensor) -> Found | None:
        """Rows of the values that a Keras scope has in place of the variables; None outside of one."""
        values = [variable.scoped() for variable in self.variables]
        if all(value is None for value in values):
            return None
        stored = [v.raw if s is None else s for v, s in zip(self.variables, values, strict=True)]
        return Found(rows, tuple(tf.gather(value, rows) for value in stored), rows)

    def _stored(self, rows: tf.Tensor) -> Found:
        """Rows as they are stored."""
        return Found(rows, tuple(tf.gather(v.raw, rows) for v in self.variables), rows)

    def read(self, rows: tf.Tensor) -> Found:
        """These rows [n], up to date; reading them changes nothing."""
        if self.keeper is not None and self.keeper.by_row:
            found = self.keeper.find(rows, True)
            values = tuple(tf.gather(value, found.places) for value in found.values)
            return Found(rows, values, rows)
        return self._stored(rows)

    def hand_over(self, keeper: Keeper | None) -> None:
        """Gives the rows to another optimizer, after the previous one has brought them up to date."""
        if self.keeper is not None:
            self.keeper.release()
        self.keeper = keeper

    def whole(self, variable: RowVariable) -> tf.Tensor:
        """All rows of a variable, up to date and differentiable, float32 [N, width]."""
        found = self.own_lookup(tf.range(self.num_rows), distinct=True)
        value = found.values[self.place(variable)]
        return value if found.places is None else tf.gather(value, found.places)

    def blocks(self) -> Iterator[tuple[int, tf.Tensor]]:
        """First row and rows of blocks of bounded memory, for a walk over the table."""
        size = max(1, BLOCK_ENTRIES // self.width)
        for start in range(0, self.num_rows, size):
            yield start, tf.range(start, min(start + size, self.num_rows))

    def current(self) -> list[np.ndarray]:
        """All rows of each variable, up to date, in one walk; the stored rows do not change."""
        if self.keeper is not None and self.keeper.behind():
            return [value.numpy() for value in self.keeper.current(self.variables)]
        return [variable.raw.numpy() for variable in self.variables]

    def _seen_plainly(self) -> None:
        """Remembers a graph that reads the stored rows as they are, unless it only infers shapes."""
        if not (tf.executing_eagerly() or in_symbolic_scope()):
            self._plain.add(_outermost_graph())

    def is_read_plainly(self) -> bool:
        """Whether a graph is alive that reads the stored rows as they are.

        It would see rows that are behind, so such a table must be updated whole.
        """
        if self._plain:
            gc.collect()  # graphs are cycles of references
        return bool(self._plain)


def is_exported() -> bool:
    """Whether a graph is being traced to be written to a file.

    Such a graph reads the rows as they are stored, all up to date: what brings them there, and what
    gradients they have, belongs to training. Neither TensorFlow nor Keras has a flag for
    that, so this searches the call stack for their exporters.
    """
    if tf.executing_eagerly():
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_EXPORTERS):
            return True
        frame = frame.f_back
    return False


def _outermost_graph() -> Any:
    graph = tf.compat.v1.get_default_graph()
    while getattr(graph, "outer_graph", None) is not None and graph.outer_graph.building_function:
        graph = graph.outer_graph
    return graph


def _linked(
    variable: RowVariable, now: tf.Tensor, gradient: Callable[[tf.Tensor], Any]
) -> tf.Tensor:
    """`now`, with `gradient` of what arrives as the gradient of the variable."""

    @tf.custom_gradient
    def linked(_: tf.Tensor, now: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        return tf.identity(now), lambda upstream: (gradient(upstream), None)

    return linked(variable.handle, now)


def gradient_of_found(
    variable: RowVariable, found: Found
) -> Callable[[tf.Tensor], tf.IndexedSlices]:
    """The gradient of rows `found.ids`, which carries `found`.

    An optimizer that gets it does not have to find the distinct rows, and bring them up to date, again.
    """

    def gradient(upstream: tf.Tensor) -> tf.IndexedSlices:
        slices = tf.IndexedSlices(upstream, found.ids, tf.constant(variable.shape.as_list()))
        slices.found = found
        return slices

    return gradient


def _dense(variable: RowVariable, rows: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """The gradient summed over repeats: Keras's optimizers would square repeats one by one."""
    count, width = variable.shape

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(upstream, [-1, width])
        summed = tf.math.unsorted_segment_sum(flat, tf.reshape(rows, [-1]), count)
        return summed if variable.pull is None else summed + variable.pull.of(variable.raw)

    return gradient
