"""A pruned table in about the bytes that its survivors and the entropy of its mask ask for."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.flags import Flags
from pep_tf.tables.packed.octets import Octets, number_of_ones, ones, pack_bits, steps, take
from pep_tf.tables.packed.row_index import RowIndex
from pep_tf.tables.packed.stored_table import Arrays, StoredTable, facts_of
from pep_tf.tables.packed.values import Values

_INT32_ROOM = 2**31 - 2**16
_FEW = 32  # columns for which a product beats a cumulative sum


class FoundRows(NamedTuple):
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


class PackedTable(StoredTable):
    """Rows of a table of which most entries are zero, decoded on lookup by plain TensorFlow ops.

    A lookup goes down a tree. The row index says whether a row has entries, and its place among
    those that have. A bit a place says whether the row is stored whole (see `Entries`), a byte which
    eighths of the other rows have entries: for d up to 64, which of the row's octets (8 columns).
    Of each such octet a byte with one bit per column is stored, and the number of bits before it is where
    its values begin. For d up to 8 the octet is the byte of the place itself, for d above 64 there
    is one more level. Parts that would say nothing are left out: the row index where no row is
    empty, all of the mask where each row is stored whole.

    Args:
        arrays, facts: see `of`.

    Example:
        >>> table = PackedTable.of([np.float32([[0, 0, 0], [1, 0, 2]])])
        >>> table.lookup(tf.constant([1, 0])).numpy().tolist()
        [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        super().__init__(arrays, facts)
        units, self._has_weights = facts["units"], bool(facts["weights"])
        self._rows = RowIndex(self.arrays)
        self._all_whole = "values" not in arrays
        self._some_whole = not self._all_whole and "whole" in arrays
        self._whole = None
        if "whole" in arrays:
            self._whole = Values(self.arrays, "whole", units["whole"], self.dim)
        self._values = None
        if not self._all_whole:
            self._values = Values(self.arrays, "values", units["values"])
        self._widths = [] if self._all_whole else _widths(self.dim)
        self._levels = [Octets(self.arrays, f"level_{i}") for i in range(len(self._widths))]
        self._flags = None
        if "flags_groups" in arrays:
            self._flags = Flags(self.arrays, "flags", has_octets=not self._all_whole)

    @classmethod
    def of(
        cls,
        blocks: Iterable[np.ndarray] | Entries,
        *,
        dtype: str = "float32",
        level_worth: int | None = None,
        integers: Any = None,
        weights: np.ndarray | None = None,
    ) -> Self:
        """Packs a table; its arrays are NumPy's.

        Args:
            blocks: row blocks float32 [n_i, d] in order, only one of which is held at a time; or the
                `Entries` of such.
            dtype: how values are stored, see `Values`.
            level_worth: bytes that a further level of the row index has to save; by default a
                twentieth of the values.
            integers: type of the positions; int64 by itself where int32 is too small.
            weights: bool for each place, whether it has a weight of another table, which is then
                found with the place; or None.

        Raises:
            ValueError: no row, blocks of different widths, or an unknown `dtype`.
        """
        entries = blocks if isinstance(blocks, Entries) else Entries.of(blocks)
        if integers is None:
            integers = np.int32 if entries.nnz * (1 + 1 / 8) < _INT32_ROOM else np.int64
        level_worth = 4 * entries.nnz // 20 if level_worth is None else level_worth
        arrays = RowIndex.encode(entries.places, level_worth)
        all_whole, some_whole = bool(entries.whole.all()), bool(entries.whole.any())
        units = {"whole": 1.0, "values": 1.0}
        if all_whole or some_whole:
            stored, units["whole"] = Values.encode(entries.rows, dtype, "whole")
            arrays |= stored
        if not all_whole:
            runs = number_of_ones(entries.octets[entries.octets != 0])
            stored, units["values"] = Values.encode(entries.values, dtype, "values", runs)
            arrays |= stored
        top, levels = _mask_levels(entries)
        for i, level in enumerate(levels):
            arrays |= Octets.encode(level, f"level_{i}", integers)
        flags = [entries.whole] if some_whole and not all_whole else []
        flags += [] if weights is None else [weights]
        if flags or not all_whole:
            octets = None if all_whole else top
            arrays |= Flags.encode(flags, octets, "flags", integers)
        facts = {**facts_of(entries), "units": units, "weights": weights is not None}
        return cls(arrays, facts)

    @property
    def weights_bytes(self) -> int:
        """Bytes of the bits that say which places have a weight of another table."""
        if not self._has_weights or self._flags is None:
            return 0
        return self._flags.nbytes[int(self._some_whole)]

    def parts(self) -> dict[str, int]:
        masks = self._bytes(*(name for name in self.arrays if name.startswith("level_")))
        masks += 0 if self._flags is None else sum(self._flags.nbytes)
        return {
            "values": self._bytes("values", "values_scales", "whole", "whole_scales"),
            "rows": self._rows.nbytes,
            "masks": masks - self.weights_bytes,
        }

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        different, order = tf.unique(rows)
        return self.expand(self.find(different), order)

    def find(self, rows: tf.Tensor) -> FoundRows:
        """Where the rows int32 [u], each in [0, N), are stored."""
        places = self._rows.find(rows)
        if self._flags is None:
            return FoundRows(places, None, None, None)
        flags, start, octet = self._flags.find(places)
        weights = tf.maximum(flags.pop(), 0) if self._has_weights else None
        if self._all_whole:
            return FoundRows(places, None, None, weights)
        return FoundRows(flags[0] if flags else None, start, octet, weights)

    def expand(self, found: FoundRows, order: tf.Tensor) -> tf.Tensor:
        """float32 [n, d]: the rows `found[order]`, each of `found` decoded once, the empty ones never.

        Args:
            found: of different rows [u].
            order: int32 [n], in [0, u).
        """
        if found.octet is None:  # an empty row is as cheap as a full one
            assert self._whole is not None
            return take(self._whole.at(found.whole), order)
        at = tf.where(found.octet)  # that are not zero
        rows = self._decoded(tf.gather_nd(found.start, at), tf.gather_nd(found.octet, at))
        # A row of zeros comes first: 0 stays the number of all that is empty.
        if self._whole is None or found.whole is None:
            rows = tf.pad(rows, [[1, 0], [0, 0]])
        else:
            among = tf.where(found.whole > 0)
            places = tf.pad(tf.gather_nd(found.whole, among), [[1, 0]])  # 0, the place of nothing
            rows = tf.concat([self._whole.at(places), rows], axis=0)
            at = tf.concat([among, at], axis=0)
        numbers = tf.raw_ops.SparseToDense(  # ten times as fast as `scatter_nd`
            sparse_indices=at,
            output_shape=tf.shape(found.octet, tf.int64),
            sparse_values=tf.range(1, tf.size(at) + 1),
            default_value=0,
            validate_indices=False,  # that they are sorted; each is there once
        )
        return take(rows, take(numbers, order))

    def _decoded(self, start: tf.Tensor, octet: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of rows that are not whole, from `start` and `octet` [n] of `FoundRows`."""
        assert self._values is not None
        octets = octet
        for level, width in zip(self._levels, self._widths, strict=True):
            _, places = self._set_bits(start, octets)
            octets, start = level.at(_by_row(places, width)), level.first(start)
        first, places = self._set_bits(start, octets)
        return _by_row(self._values.at(places, first), self.dim)

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
            first = tf.expand_dims(first + _before(octets, start.dtype), 2)
        return first, tf.maximum(first + steps(octets, start.dtype), 0)


def _before(octets: tf.Tensor, integers: tf.DType) -> tf.Tensor:
    """Set bits in the bytes of the same row [n, k] that lie before each, shape of `octets`."""
    width = octets.shape[1]
    if width > _FEW:
        return tf.cumsum(ones(octets, integers), axis=1, exclusive=True)
    # A product with a triangle of ones is faster over so few columns, and exact.
    earlier = np.triu(np.ones((width, width), np.float32), 1)
    return tf.cast(ones(octets, tf.float32) @ tf.constant(earlier), integers)


def _by_row(of_bits: tf.Tensor, width: int) -> tf.Tensor:
    """[n, width] of [n, k, 8] or [n, 8]: what is of bits behind the width is left out."""
    if of_bits.shape.rank > 2:
        of_bits = tf.reshape(of_bits, [-1, 8 * of_bits.shape[1]])
    return of_bits if of_bits.shape[1] == width else of_bits[:, :width]


def _widths(dim: int) -> list[int]:
    """Bytes of a row at each level below the top, which has one; those of 8 columns come last."""
    widths: list[int] = []
    width = -(-dim // 8)
    while width > 1:
        widths.insert(0, width)
        width = -(-width // 8)
    return widths


def _mask_levels(entries: Entries) -> tuple[np.ndarray, list[np.ndarray]]:
    """Top of each place's mask uint8 [K], and the bytes that are stored, by level.

    The bytes of a level say which bits of the level below are stored, which are those that are set.
    """
    masks = entries.octets
    levels: list[np.ndarray] = []
    while masks.shape[1] > 1:
        levels.insert(0, masks[masks != 0])
        masks = pack_bits(masks != 0)
    top = np.zeros(len(entries.whole), np.uint8)
    top[~entries.whole] = masks[:, 0]
    return top, [] if bool(entries.whole.all()) else levels
