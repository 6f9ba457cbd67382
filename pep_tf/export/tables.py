"""Embedding table and first-order weights of a model, stored in one form and looked up together."""

import functools
from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import tensorflow as tf

from pep_tf.data.schema import FeatureSchema
from pep_tf.export.kept_columns import KeptColumns, KeptNumbers
from pep_tf.export.table_variables import TableVariables
from pep_tf.tables.packed import Entries, FieldTable, PackedTable, StoredTable
from pep_tf.tables.packed.field_columns import survivors
from pep_tf.tables.packed.octets import take
from pep_tf.tables.packed.packed_table import FoundRows
from pep_tf.tables.packed.pair import SharedWeights, pack_pair


class Tables(Protocol):
    """A model's tables.

    Attributes:
        table: d columns.
        first_order: 1 column, or None.
        occupied: bool [N], False where a row adds nothing.
        kept: which columns of the table are not zero in all rows of a field.
    """

    table: StoredTable
    first_order: StoredTable | None
    occupied: np.ndarray
    kept: KeptColumns

    def look_up(self, rows: tf.Tensor, check: tf.Operation) -> tuple[tf.Tensor, tf.Tensor | None]:
        """float32 [B F, d] and [B F, 1] (or None) of `rows` int32 [B, F] that `check` has passed."""
        ...

    def kept_numbers(self, rows: tf.Tensor, check: tf.Operation) -> KeptNumbers | None:
        """Those of `kept` in `rows`; None where the table does not store them apart."""
        ...


class SeparateTables(tf.Module):
    """Both tables, each in a form of its own that stores every row; of so many fields."""

    def __init__(
        self, table: StoredTable, first_order: StoredTable | None, num_fields: int
    ) -> None:
        super().__init__(name="tables")
        self._table = TableVariables(table, "table")
        self._first_order = (
            None if first_order is None else TableVariables(first_order, "first_order")
        )
        self.table = self._table.table
        self.first_order = self._first_order and self._first_order.table
        self.occupied = np.ones(table.num_rows, bool)  # each row is stored, zeros too
        self.kept = KeptColumns.of(np.ones((num_fields, table.dim), bool))

    def look_up(self, rows: tf.Tensor, check: tf.Operation) -> tuple[tf.Tensor, tf.Tensor | None]:
        with tf.control_dependencies([check]):
            rows = tf.reshape(rows, [-1])
        linear = None if self._first_order is None else self._first_order.read().lookup(rows)
        return self._table.read().lookup(rows), linear

    def kept_numbers(self, rows: tf.Tensor, check: tf.Operation) -> None:
        return None


class PackedTables(tf.Module):
    """Both tables in few bytes, each in its own form or both by one index.

    A `FieldTable` is looked up by field. In the other forms each distinct row of a batch is found and
    decoded once. If most rows with a first-order weight have a row in the table as well, the table's
    index serves both: rows with a weight alone get a place in the table too, and one more bit per place
    says which places have a weight. Otherwise the weights have an index of their own.

    Args:
        packed: of the embedding.
        weights: of the first-order weights, or None.
        schema: the fields.
        occupied: bool [N], False where a row adds nothing; None: unknown.
        entries: those of the embedding; None: which columns a field keeps is unknown.
    """

    def __init__(
        self,
        packed: StoredTable,
        weights: StoredTable | None,
        schema: FeatureSchema,
        occupied: np.ndarray | None = None,
        entries: Entries | None = None,
    ) -> None:
        super().__init__(name="tables")
        columns = schema.column_fields
        self._middle = int(np.searchsorted(columns, _middle(schema.sizes)))
        self.occupied = np.ones(packed.num_rows, bool) if occupied is None else occupied
        stored = None if schema.combines else KeptColumns.of_stored(packed)
        self.kept = stored or KeptColumns.of(
            np.ones((schema.num_fields, packed.dim), bool)
            if entries is None
            else survivors(entries, schema.sizes)
        )
        self._table = TableVariables(packed, "table")
        self._first_order = None if weights is None else TableVariables(weights, "first_order")
        self.table = self._table.table
        self.first_order = self._first_order and self._first_order.table

    @classmethod
    def of(
        cls,
        table: Entries,
        first_order: Entries | None,
        dtypes: tuple[str, str],
        schema: FeatureSchema,
    ) -> Self:
        """From their entries; `dtypes` say how the values of each are stored, see `Values`."""
        occupied = table.places
        if first_order is not None:
            occupied = table.places | first_order.places
        packed, weights = pack_pair(table, first_order, dtypes, schema.sizes)
        return cls(packed, weights, schema, occupied, table)

    def look_up(self, rows: tf.Tensor, check: tf.Operation) -> tuple[tf.Tensor, tf.Tensor | None]:
        batch = _Batch(rows, self._middle, check)
        table = self._table.read()
        numbers, found = batch.look_up(table)
        if self._first_order is None:
            return numbers, None
        weights = self._first_order.read()
        if isinstance(weights, SharedWeights):
            assert found is not None, "they share the index of a PackedTable"
            return numbers, take(weights.at(found.weights), batch.different[1])
        return numbers, batch.look_up(weights)[0]

    def kept_numbers(self, rows: tf.Tensor, check: tf.Operation) -> KeptNumbers | None:
        if not self.kept.stored:
            return None
        table = self._table.read()
        assert isinstance(table, FieldTable), "it stores them apart"
        return KeptNumbers(*table.kept_numbers(_Batch(rows, self._middle, check).checked))


class _Batch:
    """Rows int32 [B, F] that `check` has passed, looked up in one table or two.

    Args:
        rows, check: see `Tables.look_up`.
        middle: see `_different`.
    """

    def __init__(self, rows: tf.Tensor, middle: int, check: tf.Operation) -> None:
        self._rows, self._middle, self._check = rows, middle, check

    @functools.cached_property
    def different(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The distinct rows, and the place of each row among them; see `_different`."""
        return _different(self._rows, self._middle, self._check)

    @functools.cached_property
    def checked(self) -> tf.Tensor:
        """The rows, once the check has passed."""
        with tf.control_dependencies([self._check]):
            return tf.identity(self._rows)

    def look_up(self, table: StoredTable) -> tuple[tf.Tensor, FoundRows | None]:
        """float32 [B F, d], and where each distinct row was found."""
        if isinstance(table, FieldTable):
            rows, columns = self.checked, table.num_fields
            if rows.shape[1] != columns:  # there are bags
                return table.lookup(tf.reshape(rows, [-1])), None
            return table.by_field(rows), None
        different, order = self.different
        if not isinstance(table, PackedTable):
            return take(table.lookup(different), order), None
        found = table.find(different)
        return table.expand(found, order), found


def _different(rows: tf.Tensor, middle: int, check: tf.Operation) -> tuple[tf.Tensor, tf.Tensor]:
    """`tf.unique` of rows int32 [B, F], flattened, the rows once `check` has passed them.

    It is done for the fields before and from the `middle` at the same time, and beside the check: no
    row belongs to two fields, and the operation, one of the longest, keeps only one core busy.
    """
    width = rows.shape[1]
    if width == 1:
        different, order = tf.unique(tf.reshape(rows, [-1]))
        with tf.control_dependencies([check]):
            return tf.identity(different), order
    sizes = [middle, width - middle]
    (left, first), (right, second) = (
        tf.unique(tf.reshape(half, [-1])) for half in tf.split(rows, sizes, axis=1)
    )
    orders = [first, second + tf.size(left)]
    by_field = [tf.reshape(order, [-1, size]) for order, size in zip(orders, sizes, strict=True)]
    order = tf.reshape(tf.concat(by_field, axis=1), [-1])
    with tf.control_dependencies([check]):
        return tf.concat([left, right], axis=0), order


def _middle(sizes: Sequence[int]) -> int:
    """The field up to which there is about half the work of finding a batch's different rows.

    A row met for the first time costs most. Where the k-th frequent of n features comes with a
    chance of 1/k, a batch meets a number of them that grows about like the square of log n.
    """
    work = np.cumsum(np.log(1 + np.array(sizes)) ** 2)
    return 1 + int(np.argmin(np.abs(work[:-1] - work[-1] / 2))) if len(sizes) > 1 else 1
