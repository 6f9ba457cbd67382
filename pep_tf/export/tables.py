"""Embedding table and first-order weights of a model, stored in one form and looked up together."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from pep_tf.export.bound import bound_bytes
from pep_tf.export.dense_table import DenseTable
from pep_tf.export.entries import Entries
from pep_tf.export.octets import look
from pep_tf.export.packed_table import PackedTable
from pep_tf.export.value_code import Values


class Table(Protocol):
    """What there is to know of a table in any form.

    Attributes:
        dim, num_rows: d and N.
        nnz: entries that are not zero.
        bound_bytes: see `pep_tf.export.bound`.
    """

    dim: int
    num_rows: int
    nnz: int
    bound_bytes: float

    def parts(self) -> dict[str, int]:
        """Bytes by part."""
        ...


class Tables(Protocol):
    """A model's tables.

    Attributes:
        table: d columns.
        first_order: 1 column, or None.
        occupied: bool [N], False where a row adds nothing.
    """

    table: Table
    first_order: Table | None
    occupied: np.ndarray

    def spread(self, rows: tf.Tensor, check: tf.Operation) -> tuple[tf.Tensor, tf.Tensor | None]:
        """float32 [B F, d] and [B F, 1] (or None) of `rows` int32 [B, F] that `check` has passed."""
        ...


class DenseTables(tf.Module):
    """Every number of both tables."""

    def __init__(self, table: DenseTable, first_order: DenseTable | None) -> None:
        super().__init__(name="tables")
        self.table, self.first_order = table, first_order
        self.occupied = np.ones(table.num_rows, bool)  # each row is stored, zeros too

    def spread(self, rows: tf.Tensor, check: tf.Operation) -> tuple[tf.Tensor, tf.Tensor | None]:
        with tf.control_dependencies([check]):
            rows = tf.reshape(rows, [-1])
        linear = None if self.first_order is None else self.first_order.lookup(rows)
        return self.table.lookup(rows), linear


class SharedWeights(tf.Module):
    """First-order weights of places that the embedding table finds.

    Args:
        weights: their entries.
        dtype: how values are stored, see `Values`.
        bits: bytes of the bits that say which places have one.
    """

    dim = 1

    def __init__(self, weights: Entries, dtype: str, bits: int) -> None:
        super().__init__(name="first_order")
        self.num_rows, self.nnz = weights.num_rows, weights.nnz
        self.bound_bytes = bound_bytes(weights.histogram)
        self.values = Values(weights.rows, dtype, "first_order")
        self._bits = bits

    def parts(self) -> dict[str, int]:
        """Bytes by part."""
        return {"values": self.values.nbytes, "rows": self._bits, "masks": 0}


class PackedTables(tf.Module):
    """Both tables packed, each different row of a batch being looked for and decoded once.

    Where most rows with a first-order weight have a row in the table as well, the table's index
    serves both: rows that have only a weight get a place in the table too, and one more bit a place
    says which have one. Else the weights have an index of their own.

    Args:
        table: entries of the embedding table.
        first_order: those of the first-order weights, or None.
        dtype: how values are stored, see `Values`.
        sizes: rows of each field.
    """

    def __init__(
        self, table: Entries, first_order: Entries | None, dtype: str, sizes: Sequence[int]
    ) -> None:
        super().__init__(name="tables")
        self._middle = _middle(sizes)
        self.occupied = table.places
        self.first_order: PackedTable | SharedWeights | None = None
        if first_order is None:
            self.table = PackedTable(table, dtype=dtype)
            return
        self.occupied = table.places | first_order.places
        if first_order.dim == 1 and _worth_sharing(table, self.occupied):
            bits = first_order.places[self.occupied]
            table = table.with_places(self.occupied)
            self.table = PackedTable(table, dtype=dtype, weights=bits)
            self.first_order = SharedWeights(first_order, dtype, self.table.weights_bytes)
        else:
            self.table = PackedTable(table, dtype=dtype)
            # What is worth a level is the same as for the table, of which these are a small part.
            self.first_order = PackedTable(
                first_order, dtype=dtype, name="first_order", level_worth=4 * table.nnz // 20
            )

    def spread(self, rows: tf.Tensor, check: tf.Operation) -> tuple[tf.Tensor, tf.Tensor | None]:
        different, order = _different(rows, self._middle, check)
        found = self.table.find(different)
        numbers = self.table.spread(found, order)
        if self.first_order is None:
            return numbers, None
        if isinstance(self.first_order, SharedWeights):
            return numbers, look(self.first_order.values.at(found.weights), order)
        return numbers, self.first_order.spread(self.first_order.find(different), order)


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


def _worth_sharing(table: Entries, occupied: np.ndarray) -> bool:
    """Whether places for rows without an entry cost less than a second bitmap over the rows."""
    places = int(np.count_nonzero(occupied))
    added = places - len(table.whole)  # a byte and some bits each
    return added < (len(occupied) - places) / 8
