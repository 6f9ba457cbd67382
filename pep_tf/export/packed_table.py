"""A pruned table in about the bytes that its survivors and the entropy of its mask ask for."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pep_tf.export.bound import bound_bytes
from pep_tf.export.entries import Entries
from pep_tf.export.flags import Flags
from pep_tf.export.octets import Octets, look, number_of_ones, ones, pack_bits, steps
from pep_tf.export.row_index import RowIndex
from pep_tf.export.value_code import Values

_INT32_ROOM = 2**31 - 2**16
_FEW = 32  # columns for which a product beats a cumulative sum


class Found(NamedTuple):
    """What a table knows of different rows [u] before it decodes any.

    Attributes:
        whole: place among the rows stored whole, int32, not positive if it is not one; None if
            there is no such row.
        start: place of what the first set bit of `octet` stands for; None if all rows are whole.
        octet: int32, top of the row's mask, 0 if it is empty or whole; None likewise.
        weights: place among the weights of other tables, int32, 0 without; None without such.
    """

    whole: tf.Tensor | None
    start: tf.Tensor | None
    octet: tf.Tensor | None
    weights: tf.Tensor | None


class PackedTable(tf.Module):
    """Rows of a table of which most entries are zero, decoded on lookup by plain TensorFlow ops.

    A lookup goes down a tree. The row index says whether a row has entries, and its place among
    those that have. A bit a place says whether the row is stored whole (see `Entries`), a byte which
    eighths of the other rows have entries: for d up to 64, which of the row's octets (8 columns).
    Of each such octet a byte with a bit a column is stored, and the number of bits before it is where
    its values begin. For d up to 8 the octet is the byte of the place itself, for d above 64 there
    is one more level. Parts that would say nothing are left out: the row index where no row is
    empty, all of the mask where each row is stored whole.

    Args:
        blocks: row blocks float32 [n_i, d] in order, only one of which is held at a time; or the
            `Entries` of such.
        dtype: how values are stored, see `Values`.
        name: prefix of the variables' names.
        level_worth: bytes that a further level of the row index has to save; by default a
            twentieth of the values.
        integers: type of the positions; int64 by itself where int32 is too small.
        weights: bool for each place, whether it has a weight of another table, which is then found
            with the place; or None.

    Raises:
        ValueError: no row, blocks of different widths, or an unknown `dtype`.

    Example:
        >>> table = PackedTable([np.float32([[0, 0, 0], [1, 0, 2]])])
        >>> table.lookup(tf.constant([1, 0])).numpy().tolist()
        [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        blocks: Iterable[np.ndarray] | Entries,
        *,
        dtype: str = "float32",
        name: str = "table",
        level_worth: int | None = None,
        integers: tf.DType | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__(name=name)
        entries = blocks if isinstance(blocks, Entries) else Entries.of(blocks)
        self.dim, self.num_rows, self.nnz = entries.dim, entries.num_rows, entries.nnz
        self.bound_bytes = bound_bytes(entries.histogram)
        if integers is None:
            integers = tf.int32 if self.nnz * (1 + 1 / 8) < _INT32_ROOM else tf.int64
        self._integers = integers
        if level_worth is None:
            level_worth = 4 * self.nnz // 20
        self.rows = RowIndex(entries.places, name, level_worth)
        self._all_whole = bool(entries.whole.all())
        self._some_whole = not self._all_whole and bool(entries.whole.any())
        self._has_weights = weights is not None
        self.whole: Values | None = None
        self.values: Values | None = None
        if self._all_whole or self._some_whole:
            self.whole = Values(entries.rows, dtype, f"{name}_whole")
        if not self._all_whole:
            runs = number_of_ones(entries.octets[entries.octets != 0])
            self.values = Values(entries.values, dtype, name, runs)
        top, self._widths, levels = _mask_levels(entries)
        self.levels = [Octets(level, f"{name}_{i}", integers) for i, level in enumerate(levels)]
        flags = [entries.whole] if self._some_whole else []
        flags += [] if weights is None else [weights]
        self.flags: Flags | None = None
        if flags or not self._all_whole:
            octets = None if self._all_whole else top
            self.flags = Flags(flags, octets, f"{name}_flags", integers)

    @property
    def nbytes(self) -> int:
        return sum(self.parts().values())

    @property
    def weights_bytes(self) -> int:
        """Bytes of the bits that say which places have a weight of another table."""
        if not self._has_weights or self.flags is None:
            return 0
        return self.flags.nbytes[int(self._some_whole)]

    def parts(self) -> dict[str, int]:
        """Bytes by part: values, row index, row masks."""
        values = [part.nbytes for part in (self.values, self.whole) if part]
        masks = [part.nbytes for part in self.levels]
        masks += [] if self.flags is None else self.flags.nbytes
        return {
            "values": sum(values),
            "rows": self.rows.nbytes,
            "masks": sum(masks) - self.weights_bytes,
        }

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of the table rows int32 [n], each in [0, N).

        Repeated rows are decoded each time; see `spread`.
        """
        return self.spread(self.find(rows), tf.range(tf.size(rows)))

    def find(self, rows: tf.Tensor) -> Found:
        """Where the rows int32 [u], each in [0, N), are stored."""
        places = self.rows.find(rows)
        if self.flags is None:
            return Found(places, None, None, None)
        flags, start, octet = self.flags.find(places)
        weights = tf.maximum(flags.pop(), 0) if self._has_weights else None
        if self._all_whole:
            return Found(places, None, None, weights)
        return Found(flags[0] if flags else None, start, octet, weights)

    def spread(self, found: Found, order: tf.Tensor) -> tf.Tensor:
        """float32 [n, d]: the rows `found[order]`, each of `found` decoded once, the empty ones never.

        Args:
            found: of different rows [u].
            order: int32 [n], in [0, u).
        """
        if found.octet is None:  # an empty row is as cheap as a full one
            assert self.whole is not None
            return look(self.whole.at(found.whole), order)
        at = tf.where(found.octet)  # that are not zero
        rows = self._decoded(tf.gather_nd(found.start, at), tf.gather_nd(found.octet, at))
        # A row of zeros comes first: 0 stays the number of all that is empty.
        if self.whole is None or found.whole is None:
            rows = tf.pad(rows, [[1, 0], [0, 0]])
        else:
            among = tf.where(found.whole > 0)
            places = tf.pad(tf.gather_nd(found.whole, among), [[1, 0]])  # 0, the place of nothing
            rows = tf.concat([self.whole.at(places), rows], axis=0)
            at = tf.concat([among, at], axis=0)
        numbers = tf.raw_ops.SparseToDense(  # ten times as fast as `scatter_nd`
            sparse_indices=at,
            output_shape=tf.shape(found.octet, tf.int64),
            sparse_values=tf.range(1, tf.size(at) + 1),
            default_value=0,
            validate_indices=False,  # that they are sorted; each is there once
        )
        return look(rows, look(numbers, order))

    def _decoded(self, start: tf.Tensor, octet: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of rows that are not whole, from `start` and `octet` [n] of `Found`."""
        assert self.values is not None
        octets = octet
        for level, width in zip(self.levels, self._widths, strict=True):
            _, places = self._set_bits(start, octets)
            octets, start = level.at(_by_row(places, width)), level.first(start)
        first, places = self._set_bits(start, octets)
        return _by_row(self.values.at(places, first), self.dim)

    def _set_bits(self, start: tf.Tensor, octets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Place of what the first set bit of each octet stands for, and each bit; 0 if not set.

        Args:
            start: place of what the first set bit of a row stands for [n].
            octets: int32 [n, k], or [n] where a row has one.

        Returns:
            [n, k, 1] and [n, k, 8], or [n, 1] and [n, 8].
        """
        first = tf.expand_dims(start, 1)
        if octets.shape.rank > 1:
            first = tf.expand_dims(first + self._before(octets), 2)
        return first, tf.maximum(first + steps(octets, self._integers), 0)

    def _before(self, octets: tf.Tensor) -> tf.Tensor:
        """Set bits in the bytes of the same row [n, k] that lie before each, shape of `octets`."""
        width = octets.shape[1]
        if width > _FEW:
            return tf.cumsum(ones(octets, self._integers), axis=1, exclusive=True)
        # A product with a triangle of ones is faster over so few columns, and exact.
        earlier = np.triu(np.ones((width, width), np.float32), 1)
        return tf.cast(ones(octets, tf.float32) @ tf.constant(earlier), self._integers)


def _by_row(of_bits: tf.Tensor, width: int) -> tf.Tensor:
    """[n, width] of [n, k, 8] or [n, 8]: what is of bits behind the width is left out."""
    if of_bits.shape.rank > 2:
        of_bits = tf.reshape(of_bits, [-1, 8 * of_bits.shape[1]])
    return of_bits if of_bits.shape[1] == width else of_bits[:, :width]


def _mask_levels(entries: Entries) -> tuple[np.ndarray, list[int], list[np.ndarray]]:
    """Top of each place's mask uint8 [K], bytes of a row by level, and the bytes that are stored.

    The bytes of a level say which bits of the level below are stored, which are those that are set.
    """
    masks = entries.octets
    widths: list[int] = []
    levels: list[np.ndarray] = []
    while masks.shape[1] > 1:
        widths.insert(0, masks.shape[1])
        levels.insert(0, masks[masks != 0])
        masks = pack_bits(masks != 0)
    top = np.zeros(len(entries.whole), np.uint8)
    top[~entries.whole] = masks[:, 0]
    return top, widths, [] if bool(entries.whole.all()) else levels
