"""A pruned table in about the bytes that its survivors and the entropy of its mask ask for."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from pep_tf.export.bound import bound_bytes, count_histogram
from pep_tf.export.octets import Octets, ones, pack_bits, steps
from pep_tf.export.row_index import RowIndex
from pep_tf.export.value_code import Values

_INT32_ROOM = 2**31 - 2**16
_FEW = 32  # columns for which a product beats a cumulative sum


class PackedTable(tf.Module):
    """Rows of a table of which most entries are zero, decoded on lookup by plain TensorFlow ops.

    A lookup goes down a tree. The row index says whether a row has entries, and its rank among
    those that have; the row's presence bytes say which of its octets (groups of 8 columns) have
    entries; each of those octets is a byte with a bit a column; and the number of bits before the
    row's first octet is where its values begin. Parts that would say nothing are left out: the row
    index where no row is empty, the presence bytes where they cost more than the empty octets, all
    of the mask where a row with one entry has all.

    Args:
        blocks: row blocks float32 [n_i, d] in order; only one is held at a time.
        dtype: how values are stored, see `Values`.
        name: prefix of the variables' names.
        level_worth: bytes that a further level of the row index has to save; by default a
            twentieth of the values.
        integers: type of the positions; int64 by itself where int32 is too small.

    Raises:
        ValueError: no row, blocks of different widths, or an unknown `dtype`.

    Example:
        >>> table = PackedTable([np.float32([[0, 0, 0], [1, 0, 2]])])
        >>> table.lookup(tf.constant([1, 0])).numpy().tolist()
        [[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        blocks: Iterable[np.ndarray],
        *,
        dtype: str = "float32",
        name: str = "table",
        level_worth: int | None = None,
        integers: tf.DType | None = None,
    ) -> None:
        super().__init__(name=name)
        parts = _Parts.of(blocks)
        self.dim, self.num_rows = parts.dim, len(parts.occupied)
        self.occupied = parts.occupied
        self.nnz, self.dtype = len(parts.values), dtype
        self.bound_bytes = bound_bytes(parts.histogram)
        if integers is None:
            integers = tf.int32 if self.nnz * (1 + 1 / 8) < _INT32_ROOM else tf.int64
        self._integers = integers
        self._octets_a_row = parts.octets.shape[1]
        if level_worth is None:
            level_worth = 4 * self.nnz // 20
        self.rows = RowIndex(parts.occupied, name, level_worth)
        self.presence, self.octets = _masks(parts, name, integers)
        zeros = self.dim if self.octets is None else 1
        self.values = Values(parts.values, dtype, name, zeros=zeros)

    @property
    def nbytes(self) -> int:
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Bytes by part: values, row index, row masks."""
        masks = [part.nbytes for part in (self.presence, self.octets) if part is not None]
        return {"values": self.values.nbytes, "rows": self.rows.nbytes, "masks": sum(masks)}

    def spread(self, rows: tf.Tensor, different: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of `rows`, each of the `different` ones decoded once, the empty ones never."""
        del rows
        found = self.rows.find(different)
        if not self.rows.levels or self.octets is None:  # no empty row, or as cheap as a full one
            return tf.gather(self._decoded(found), places)
        occupied = found > 0
        # Place 0, the row of zeros, comes first: all empty rows are looked up there.
        filled = tf.concat([[0], tf.gather(found, tf.where(occupied)[:, 0])], axis=0)
        flags = tf.cast(occupied, tf.int32)
        ranks = tf.cumsum(flags) * flags
        return tf.gather(self._decoded(filled), tf.gather(ranks, places))

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of the table rows int32 [n], each in [0, N).

        Repeated rows are decoded each time; see `tf.unique`.
        """
        return self._decoded(self.rows.find(rows))

    def _decoded(self, places: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of the occupied rows with these places int32 [n]; place 0 is all zeros."""
        places = tf.cast(places, self._integers)
        if self.octets is None:
            return self.values.at(_span(places, self.dim))
        start, octets = self._octets_of(places)
        first = tf.expand_dims(self.octets.first(start), 1) + self._before(octets)
        within = steps(octets, self._integers)
        found = self.values.at(tf.maximum(tf.expand_dims(first, 2) + within, 0))
        return _columns(found, self.dim)

    def _octets_of(self, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Place of a row's first stored octet [n], and its octets int32 [n, octets of a row]."""
        assert self.octets is not None
        if self.presence is None:
            span = _span(places, self._octets_a_row)
            return places * self._octets_a_row, self.octets.at(span)
        width = -(-self._octets_a_row // 8)
        start = self.presence.first(places if width == 1 else places * width)
        flags = self.presence.at(places if width == 1 else _span(places, width))
        first = tf.expand_dims(start, 1)
        if width > 1:
            first = tf.expand_dims(first + self._before(flags), 2)
        found = self.octets.at(tf.maximum(first + steps(flags, self._integers), 0))
        return start, _columns(found, self._octets_a_row)

    def _before(self, octets: tf.Tensor) -> tf.Tensor:
        """Set bits in the bytes of the same row [n, k] that lie before each, shape of `octets`."""
        width = octets.shape[1]
        if width > _FEW:
            return tf.cumsum(ones(octets, self._integers), axis=1, exclusive=True)
        # A product with a triangle of ones is faster over so few columns, and exact.
        earlier = np.triu(np.ones((width, width), np.float32), 1)
        return tf.cast(ones(octets, tf.float32) @ tf.constant(earlier), self._integers)


def _columns(found: tf.Tensor, width: int) -> tf.Tensor:
    """[n, bytes, 8], or [n, 8], to [n, width]: without the bits behind the last column."""
    flat = found
    if found.shape.rank > 2:
        flat = tf.reshape(found, [-1, 8 * found.shape[1]])
    return flat if flat.shape[1] == width else flat[:, :width]


def _span(places: tf.Tensor, length: int) -> tf.Tensor:
    """[n, length]: the numbers of each place in an array with `length` of them a place."""
    if length == 1:
        return tf.expand_dims(places, 1)
    return tf.expand_dims(places * length, 1) + tf.range(length, dtype=places.dtype)


def _masks(parts: "_Parts", name: str, integers: tf.DType) -> tuple[Octets | None, Octets | None]:
    """Presence bytes and octets, each None where it would say nothing or cost too much."""
    octets = parts.octets
    if len(parts.values) == len(octets) * parts.dim:
        return None, None
    bits = pack_bits(octets != 0)
    filled = octets[octets != 0]
    if bits.size + len(filled) >= octets.size:
        stored = octets.reshape(-1)
        return None, Octets(stored, f"{name}_octets", integers, zeros=octets.shape[1])
    presence = Octets(bits.reshape(-1), f"{name}_presence", integers, zeros=bits.shape[1])
    return presence, Octets(filled, f"{name}_octets", integers)


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What the packing keeps of the blocks: nothing that grows with N x d.

    Attributes:
        occupied: bool [N], whether the row has an entry.
        octets: uint8 [occupied rows, ceil(d / 8)], their masks.
        values: float32 [nnz].
        histogram: int64 [d + 1], rows by number of entries.
    """

    occupied: np.ndarray
    octets: np.ndarray
    values: np.ndarray
    histogram: np.ndarray

    @property
    def dim(self) -> int:
        return len(self.histogram) - 1

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> "_Parts":
        parts = [cls._of_block(block) for block in blocks]
        widths = sorted({part.dim for part in parts})
        if len(widths) > 1:
            raise ValueError(f"`blocks` must be of one width. Received widths: {widths}")
        if not sum(len(part.occupied) for part in parts):
            raise ValueError("`blocks` must have at least one row. Received: none.")
        return cls(
            np.concatenate([part.occupied for part in parts]),
            np.concatenate([part.octets for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.sum([part.histogram for part in parts], axis=0),
        )

    @classmethod
    def _of_block(cls, block: np.ndarray) -> "_Parts":
        mask = block != 0
        occupied = mask.any(1)
        values = block[mask].astype(np.float32, copy=False)
        return cls(occupied, pack_bits(mask[occupied]), values, count_histogram(block))
