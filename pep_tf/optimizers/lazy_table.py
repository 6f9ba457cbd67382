"""The rows of a table that an optimizer updates only when a batch holds them."""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pep_tf.device import on_gpu
from pep_tf.optimizers.apply_gradient import apply_gradient
from pep_tf.optimizers.batch_rows import BatchRows, filled, power_of_two
from pep_tf.optimizers.catch_up import catch_up, gap_order, tile_rows
from pep_tf.optimizers.columns import Columns
from pep_tf.optimizers.hyper import Hyper
from pep_tf.tables import Found, RowTable, RowVariable
from pep_tf.tables.distinct import Order, summed
from pep_tf.tables.distinct import distinct as distinct_rows
from pep_tf.tables.sharded_table import ShardedTable

_WHOLE = (
    "{} is updated whole at each step, which is right but slow: a function that was traced before "
    "the optimizer was built reads it. Train before the first `evaluate` or `predict`, or call "
    "`optimizer.build(model.trainable_variables)` first."
)


class Pending(NamedTuple):
    """What was found for the distinct rows of a lookup, besides their values.

    Attributes:
        ids: distinct rows, those with the longest gap first, then the last one again and again until
            they fill whole tiles of the catch-up.
        count: number of distinct rows.
        p: value of all variables side by side, up to date.
        moments: m of all variables side by side, then n of all, up to date.
    """

    ids: tf.Tensor
    count: tf.Tensor
    p: tf.Tensor
    moments: tf.Tensor


class MomentVariable(RowVariable):
    """Moments, or last steps, of a table's rows, which are brought up to date when they are read.

    What is assigned is stored as it is.
    """

    def _direct_assign(self, value: Any) -> None:
        self.assign_raw(value)


class StepVariable(MomentVariable):
    """The last step of each row: the bits of int32, kept as float32.

    TensorFlow writes rows of integers on the host, whole tables at a time where there is a GPU. What
    is assigned may be such bits, or integers, which are steps.
    """

    def assign(self, value: Any) -> Any:
        return super().assign(_as_bits(value))

    def assign_raw(self, value: Any) -> None:
        super().assign_raw(_as_bits(value))


def _as_bits(steps: Any) -> tf.Tensor:
    steps = tf.convert_to_tensor(steps)
    return tf.bitcast(tf.cast(steps, tf.int32), tf.float32) if steps.dtype.is_integer else steps


class LazyTable:
    """A table whose rows are updated when a batch holds them, and caught up when they are read.

    The stored row is that of the step at which a batch last held it (`last`, 0 before the first
    time). `find` brings rows up to date without storing them; `apply_gradient` stores them after the
    batch's gradient. As the table's keeper it gives whoever reads the weights current values.

    Where a graph is alive that reads the stored rows as they are, traced before the optimizer was
    built, every row is updated at each step: `by_row` is then False.

    Args:
        table: the variables, of one layer or of several that are looked up together.
        hyper: gives the constants of the update of a variable; asked at the first step, so that the
            layers' own may be set until then.
        moments: float32 [N, 2 x width], m of all variables side by side, then n of all: a row of
            them is read and written as one.
        last: [N].
        steps: the optimizer's counter of finished steps.
    """

    def __init__(
        self,
        table: RowTable,
        hyper: Callable[[RowVariable], Hyper],
        moments: MomentVariable,
        last: StepVariable,
        steps: Any,
    ) -> None:
        self.table, self.moments, self.last, self._steps = table, moments, last, steps
        self._hyper = hyper
        self._by_row: bool | None = None
        self._current_at: int | None = 0  # the step at which no row was behind
        self._stepped: tuple[tf.Tensor, tf.Tensor] | None = None
        with tf.init_scope():
            self._released = tf.Variable(False, trainable=False)
        moments.row_table = last.row_table = table
        table.hand_over(self)

    @functools.cached_property
    def columns(self) -> Columns:
        """Constants of the update, computed when they are first needed."""
        hypers = tuple(self._hyper(variable) for variable in self.table.variables)
        return Columns(hypers, tuple(int(v.shape[1]) for v in self.table.variables))

    @property
    def by_row(self) -> bool:
        if self._by_row is None:  # computed by the first graph or step that asks
            self._by_row = not self.table.is_read_plainly()
            if not self._by_row:
                warnings.warn(_WHOLE.format(self.table.variables[0].path), stacklevel=2)
                with tf.init_scope():
                    self.flush()
        return self._by_row

    def behind(self) -> bool:
        if self._by_row is False and self._current_at is not None:
            return False
        if not tf.executing_eagerly():
            return True
        return self._current_at is None or int(self._steps._value) != self._current_at

    def find(self, rows: tf.Tensor, distinct: bool) -> Found:
        if on_gpu():
            return self.up_to_date(self.read(rows, distinct), rows)
        ids, places = (rows, _numbers(rows)) if distinct else distinct_rows(rows)
        return self._found(tf.reshape(ids, [-1]), places, rows)

    def read(self, rows: tf.Tensor, distinct: bool = False) -> BatchRows:
        """The stored rows and state that a step on a GPU starts from."""
        ids, places = (rows, _numbers(rows)) if distinct else distinct_rows(rows)
        most = tf.size(rows, tf.int64)
        if distinct or isinstance(self.table, ShardedTable):  # not the same in each batch
            most = power_of_two(most)
        ids, count = filled(tf.reshape(ids, [-1]), most)
        return BatchRows(
            ids,
            count,
            places,
            tf.cast(self._last(ids), tf.int64),
            tf.convert_to_tensor(self._steps._value),
            self._stored(ids),
            tf.gather(self.moments.raw, ids),
        )

    def up_to_date(self, read: BatchRows, rows: tf.Tensor, order: Order | None = None) -> Found:
        """The values read for `rows`, brought up to date; `order` of their places, if it is known."""
        p, moments = catch_up(read.p, read.moments, read.last, read.now, self.columns)
        values = tuple(tf.split(p, self.columns.dims, axis=1))
        state = Pending(read.ids, read.count, p, moments)
        return Found(rows, values, read.ids, read.places, state, order)

    def _found(self, ids: tf.Tensor, places: tf.Tensor, rows: tf.Tensor) -> Found:
        """Distinct rows `ids`, up to date; `places` point into them, one for each of `rows`."""
        count, size = tf.size(ids), tile_rows(self.columns.count)
        filled = tf.minimum(tf.range(-(-count // size) * size), count - 1)
        now = tf.cast(self._steps._value, tf.int32)
        last = self._last(ids)
        if self.columns.count > 1:  # a single column is brought up to date in less time than sorted
            # The tiles that take longest begin first: no core waits long for the other at the end.
            order = gap_order(last, now)
            filled = tf.gather(order, filled)
            places = tf.gather(tf.math.invert_permutation(order), places)
        ids, last = tf.gather(ids, filled), tf.gather(last, filled)
        p, moments = self._stored(ids), tf.gather(self.moments.raw, ids)
        p, moments = catch_up(p, moments, last, now, self.columns)
        values = tuple(tf.split(p, self.columns.dims, axis=1))
        return Found(rows, values, ids, places, Pending(ids, count, p, moments))

    def _stored(self, ids: tf.Tensor) -> tf.Tensor:
        """Rows of all variables side by side.

        No gradient passes the catch-up: it goes to the rows as they are after it.
        """
        rows = [tf.gather(variable.raw, ids) for variable in self.table.variables]
        return tf.stop_gradient(tf.concat(rows, 1))

    def _last(self, ids: tf.Tensor) -> tf.Tensor:
        """The last step of rows, int32."""
        return tf.bitcast(tf.gather(self.last.raw, ids), tf.int32)

    def summed(self, gradients: Sequence[Any]) -> tuple[Pending, list[tf.Tensor]]:
        """The rows that gradients of all variables are for, up to date, and their sums, [U, width].

        The gradient of a single lookup carries both; else they are found from its ids.
        """
        found = [getattr(gradient, "found", None) for gradient in gradients]
        if found[0] is not None and all(own is found[0] for own in found):
            return found[0].state, [gradient.values for gradient in gradients]
        rows = tf.range(self.table.num_rows)
        if all(isinstance(gradient, tf.IndexedSlices) for gradient in gradients):
            rows = tf.concat([gradient.indices for gradient in gradients], 0)
        ids = tf.sort(tf.unique(rows).y)
        state, sums = None, []
        for gradient in gradients:
            if not isinstance(gradient, tf.IndexedSlices):
                gradient = tf.IndexedSlices(gradient, tf.range(self.table.num_rows))
            at = tf.searchsorted(ids, tf.cast(gradient.indices, ids.dtype))
            if state is None:
                all_found = self.find(ids, distinct=True)
                state = all_found.state
            at = tf.gather(all_found.places, at)
            sums.append(summed(gradient.values, at, tf.size(state.ids)))
        assert state is not None
        return state, sums

    def apply_gradient(
        self, rows: Pending, gradients: Sequence[tf.Tensor], scale: tf.Tensor, floor: tf.Tensor
    ) -> None:
        """Does the step on rows with a gradient, and stores them; within a compiled step, which
        cannot, leaves them to `stepped`.

        Args:
            rows: see `summed`.
            gradients: of each variable, float32 [U, width].
            scale, floor: of the step (see `apply_gradient`).
        """
        whole = self._side_by_side(gradients)
        step = apply_gradient(self.columns)
        p, moments = step(rows.p, rows.moments, whole, scale, floor)
        if self.table.held is not None:
            self._stepped = (p, moments)
            return
        self._write(rows.ids, rows.count, p, moments, self._steps._value + 1)

    def apply_to_all(
        self, gradients: Sequence[tf.Tensor], scale: tf.Tensor, floor: tf.Tensor
    ) -> None:
        """Does the step on every row, all of them up to date; gradients float32 [N, width]."""
        whole = self._side_by_side(gradients)
        p = tf.concat([variable.raw for variable in self.table.variables], 1)
        p, moments = apply_gradient(self.columns)(
            p, tf.convert_to_tensor(self.moments.raw), whole, scale, floor
        )
        for variable, value in zip(
            self.table.variables, tf.split(p, self.columns.dims, axis=1), strict=True
        ):
            variable.raw.assign(value)
        self.moments.raw.assign(moments)
        self.last.raw.assign(tf.fill([self.table.num_rows], _as_bits(self._steps._value + 1)))

    def _side_by_side(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        with self._owned():
            return tf.concat(gradients, axis=1)

    def _owned(self) -> Any:
        """A context in which operations fail if another optimizer has taken the table."""
        message = f"{self.table.variables[0].path} is trained by another optimizer: compile again."
        check = tf.debugging.Assert(tf.logical_not(self._released), [message])
        return tf.control_dependencies([check])

    def stepped(self) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Rows and moments after the step that is being compiled; None if they had no gradient."""
        stepped, self._stepped = self._stepped, None
        return stepped

    def write(
        self, read: BatchRows | Pending, now: tf.Tensor, p: tf.Tensor, moments: tf.Tensor
    ) -> None:
        """Stores the rows of the step after `now`, or nothing if the step fails."""
        with self._owned(), tf.control_dependencies([p]):
            self._write(read.ids, read.count, p, moments, now + 1)

    def _write(
        self, ids: tf.Tensor, count: tf.Tensor, p: tf.Tensor, moments: tf.Tensor, step: tf.Tensor
    ) -> None:
        """Stores the first `count` rows as those after `step`."""
        start = 0
        for variable, dim in zip(self.table.variables, self.columns.dims, strict=True):
            _scatter(variable, ids[:count], p[:count, start : start + dim])
            start += dim
        _scatter(self.last, ids[:count], tf.fill(tf.shape(ids[:count]), _as_bits(step)))
        if on_gpu():
            _scatter(self.moments, ids[:count], moments[:count])
            return
        # A slice of whole tiles is not copied, one of rows is.
        columns, size = 2 * self.columns.count, tile_rows(self.columns.count)
        whole = tf.reshape(moments, [-1, size * columns])[: count // size]
        full = tf.shape(whole)[0] * size
        _scatter(self.moments, ids[:full], tf.reshape(whole, [-1, columns]))
        _scatter(self.moments, ids[full:count], moments[full:count])

    def _blocks(self) -> Iterator[Found]:
        """What is found for blocks of the table's rows, up to date."""
        return (self.find(rows, True) for _, rows in self.table.blocks())

    def current(self, variables: Sequence[RowVariable]) -> list[tf.Tensor]:
        parts: list[list[tf.Tensor]] = [[] for _ in variables]
        for found in self._blocks():
            for part, variable in zip(parts, variables, strict=True):
                part.append(tf.gather(self._of(found, variable), found.places))
        return [tf.concat(part, 0) for part in parts]

    def _of(self, found: Found, variable: RowVariable) -> tf.Tensor:
        """What was found of a variable of the table, or of its state."""
        if variable is self.moments:
            return found.state.moments
        if variable is self.last:
            return tf.fill([tf.shape(found.ids)[0]], _as_bits(self._steps._value))
        return found.values[self.table.place(variable)]

    def flush(self) -> None:
        if not self.behind():
            return
        for found in self._blocks():
            rows = found.state
            self._write(rows.ids, rows.count, rows.p, rows.moments, self._steps._value)
        if tf.executing_eagerly():
            self._current_at = int(self._steps._value)

    def changed(self) -> None:
        self._current_at = None

    def loaded(self) -> None:
        if self._by_row is False:
            self.flush()

    def release(self) -> None:
        with tf.init_scope():
            self.flush()
            self._released.assign(True)


def _numbers(rows: tf.Tensor) -> tf.Tensor:
    """Places of rows that are distinct: their numbers."""
    size = tf.size(rows, tf.int64 if on_gpu() else tf.int32)
    return tf.reshape(tf.range(size), tf.shape(rows))


def _scatter(variable: keras.Variable, ids: tf.Tensor, rows: tf.Tensor) -> None:
    tf.raw_ops.ResourceScatterUpdate(resource=variable._value.handle, indices=ids, updates=rows)
