"""A table whose fields keep columns of their own, stored as narrow dense tables without a mask."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from pep_tf.tables import BLOCK_ENTRIES
from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.field_columns import FieldColumns
from pep_tf.tables.packed.stored_table import Arrays, StoredTable, facts_of
from pep_tf.tables.packed.values import Values


class FieldTable(StoredTable):
    """Rows of which each field keeps the same columns, stored as narrow dense tables.

    Rows of a field that keeps (nearly) all columns are stored whole, and a lookup copies them. Those
    of other fields are stored in pieces of one length, one or more a row: a lookup is one gather of
    pieces, and a scatter into their columns. There is no mask to decode, so that this serves at the
    speed of a plain lookup.

    Args:
        arrays: `whole` [1 + rows, d] and `pieces` [1 + pieces, length], the first of each zeros; see
            `Values`.
        facts: `field_sizes`, `columns` and `piece` as in `FieldColumns`, and `units` of the arrays,
            besides those of every form.

    Example:
        >>> table = FieldTable.of(Entries.of([np.float32([[0, 1], [0, 2], [3, 0]])]), (2, 1))
        >>> table.lookup(tf.constant([1, 2])).numpy().tolist()
        [[0.0, 2.0], [3.0, 0.0]]
    """

    def __init__(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        super().__init__(arrays, facts)
        self._columns: list[list[int]] = facts["columns"]
        self._widths = np.array([len(columns) for columns in self._columns])
        self._piece = int(facts["piece"])
        self._first_rows = np.cumsum([0, *facts["field_sizes"]])[:-1]
        self._places = _places(facts["field_sizes"], self._widths, self.dim, self._piece)
        units, widths = facts["units"], {"whole": self.dim, "pieces": self._piece}
        self._values = {
            name: Values(self.arrays, name, units[name], widths[name])
            for name in units
            if name in self.arrays
        }

    @classmethod
    def of(cls, entries: Entries, field_sizes: Sequence[int], *, dtype: str = "float32") -> Self:
        """Stores a table; its arrays are NumPy's.

        Args:
            entries: of the table.
            field_sizes: rows of each field, N in all.
            dtype: how values are stored, see `Values`.
        """
        return cls.in_columns(entries, field_sizes, FieldColumns.of(entries, field_sizes), dtype)

    @classmethod
    def in_columns(
        cls, entries: Entries, field_sizes: Sequence[int], stored: FieldColumns, dtype: str
    ) -> Self:
        """The same where it is known which columns to store."""
        whole = [np.zeros((0, entries.dim), np.float32)]
        pieces = [np.zeros((0, stored.piece), np.float32)]
        for field, block in _blocks_by_field(entries, field_sizes):
            columns = stored.columns[field]
            if len(columns) == entries.dim:
                whole.append(block)
            elif columns:
                pieces.append(block[:, columns].reshape(-1, stored.piece))
        arrays: dict[str, np.ndarray] = {}
        units = {}
        for name, parts in (("whole", whole), ("pieces", pieces)):
            if len(parts) > 1:
                encoded, units[name] = Values.encode(np.concatenate(parts), dtype, name)
                arrays |= encoded
        facts = {
            **facts_of(entries),
            "field_sizes": [int(size) for size in field_sizes],
            "columns": stored.columns,
            "piece": stored.piece,
            "units": units,
        }
        return cls(arrays, facts)

    @property
    def num_fields(self) -> int:
        return len(self._columns)

    def parts(self) -> dict[str, int]:
        # Which columns a field keeps stands in the graph, or in a layer's configuration.
        return {"values": self._bytes(*self.arrays)}

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        if len(self._columns) == 1:
            return self.by_field(tf.expand_dims(rows, 1))
        ends = tf.constant(self._first_rows[1:], tf.int32)
        fields = tf.reduce_sum(tf.cast(tf.expand_dims(rows, 1) >= ends, tf.int32), axis=1)
        own_rows = rows - tf.gather(tf.constant(self._first_rows, tf.int32), fields)
        first = tf.gather(tf.constant(self._places, tf.int32), fields)
        widths = tf.gather(tf.constant(self._widths, tf.int32), fields)
        found = tf.zeros([tf.size(rows), self.dim])
        for width in sorted(set(self._widths.tolist()) - {0}):
            at = tf.where(tf.equal(widths, width))
            count = 1 if width == self.dim else width // self._piece
            places = tf.gather_nd(first, at) + count * tf.gather_nd(own_rows, at)
            places = tf.expand_dims(places, 1) + tf.range(count)
            numbers = self._values["whole" if width == self.dim else "pieces"].at(places)
            columns = np.array([c if len(c) == width else [0] * width for c in self._columns])
            own = tf.gather(tf.constant(columns, tf.int32), tf.gather_nd(fields, at))
            numbers = _in_columns(tf.reshape(numbers, [-1, width]), own, self.dim)
            found = tf.tensor_scatter_nd_update(found, at, numbers)
        return found

    @property
    def kept_columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Fields whose rows are whole, and columns of the others, counted in embeddings [B, F d]."""
        whole = self._widths == self.dim
        narrow = [
            self.dim * field + np.array(columns, int)
            for field, columns in enumerate(self._columns)
            if not whole[field]
        ]
        return np.flatnonzero(whole), np.concatenate([np.zeros(0, int), *narrow])

    def kept_numbers(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The numbers of `kept_columns`, float32 [B, fields, d] and [B, columns], of rows [B, F]."""
        fields, columns = self.kept_columns
        whole, single = tf.zeros([tf.shape(rows)[0], 0, self.dim]), tf.zeros([tf.shape(rows)[0], 0])
        if len(fields):
            places = tf.gather(rows, tf.constant(fields, tf.int32), axis=1)
            places += tf.constant((self._places - self._first_rows)[fields], tf.int32)
            whole = self._values["whole"].rows(tf.expand_dims(places, -1))
            whole = tf.reshape(whole, [-1, len(fields), self.dim])
        if len(columns):
            single = tf.reshape(self._narrow(rows), [-1, len(columns)])
        return whole, single

    def by_field(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [B F, d] of the table rows int32 [B, F], those of column f belonging to field f.

        An operation costs as much as some rows do, so that there are few: a gather of the rows that
        are whole, which are zeros for the other fields, one of the pieces of these, and a sum
        with these numbers in their place.
        """
        if not self._values:
            return tf.zeros([tf.size(rows), self.dim])
        whole, found = self._widths == self.dim, None
        if "whole" in self._values:
            places = rows + tf.constant((self._places - self._first_rows) * whole, tf.int32)
            if not whole.all():  # place 0, a row of zeros, stands for the others
                places *= tf.constant(whole, tf.int32)
            found = tf.reshape(self._values["whole"].rows(tf.expand_dims(places, -1)), [-1])
        if "pieces" in self._values:
            size = tf.size(rows) * self.dim
            first = tf.range(0, size, self.dim * len(whole))
            at = tf.expand_dims(first, 1) + tf.constant(self.kept_columns[1], tf.int32)
            placed = tf.raw_ops.SparseToDense(
                sparse_indices=tf.reshape(at, [-1, 1]),
                output_shape=tf.reshape(size, [1]),
                sparse_values=tf.reshape(self._narrow(rows), [-1]),
                default_value=0.0,
                validate_indices=False,
            )
            found = placed if found is None else found + placed
        return tf.reshape(found, [-1, self.dim])

    def _narrow(self, rows: tf.Tensor) -> tf.Tensor:
        """The numbers of the fields in pieces of rows [B, F], float32 [B, numbers / piece, piece]."""
        fields = np.flatnonzero((self._widths < self.dim) & (self._widths > 0))
        counts = self._widths[fields] // self._piece
        of_piece, step = np.repeat(fields, counts), np.repeat(counts, counts)
        within = np.concatenate([np.arange(count) for count in counts])
        first = self._places[of_piece] + within - step * self._first_rows[of_piece]
        if not np.array_equal(of_piece, np.arange(rows.shape[1])):
            rows = tf.gather(rows, tf.constant(of_piece, tf.int32), axis=1)
        places = rows * tf.constant(step, tf.int32) + tf.constant(first, tf.int32)
        return self._values["pieces"].at(places)


def _blocks_by_field(
    entries: Entries, field_sizes: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Fields with some of their rows float32 [n, d], in order."""
    bounds = np.cumsum([0, *field_sizes])
    start = 0
    for block in entries.blocks(max(1, BLOCK_ENTRIES // entries.dim)):
        end = start + len(block)
        for field in np.flatnonzero((bounds[1:] > start) & (bounds[:-1] < end)):
            yield int(field), block[max(0, bounds[field] - start) : bounds[field + 1] - start]
        start = end


def _places(sizes: Sequence[int], widths: np.ndarray, dim: int, piece: int) -> np.ndarray:
    """int64 [F]: where each field begins among the whole rows or the pieces, behind the zeros."""
    places = np.zeros(len(sizes), np.int64)
    whole = widths == dim
    for own, counts in (
        (whole, np.where(whole, 1, 0)),
        (~whole, np.where(whole, 0, widths // piece)),
    ):
        stored = np.array(sizes) * counts
        places[own] = (1 + np.cumsum(stored) - stored)[own]
    return places


def _in_columns(numbers: tf.Tensor, columns: tf.Tensor, dim: int) -> tf.Tensor:
    """float32 [n, dim]: in each row of `numbers` [n, k], what belongs into its `columns` [n, k]."""
    first = dim * tf.range(tf.shape(numbers)[0])
    at = tf.reshape(tf.expand_dims(first, 1) + columns, [-1, 1])
    found = tf.scatter_nd(at, tf.reshape(numbers, [-1]), [dim * tf.shape(numbers)[0]])
    return tf.reshape(found, [-1, dim])
