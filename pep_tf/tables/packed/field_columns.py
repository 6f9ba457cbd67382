"""Which columns of each field are stored, and in pieces of how many numbers."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pep_tf.tables.packed.entries import WHOLE, Entries

_ROOM = (
    1.05  # of the fewest bytes: what longer pieces and more whole rows, which are faster, may take
)


@dataclasses.dataclass(frozen=True)
class FieldColumns:
    """How the rows of each field are stored.

    Attributes:
        columns: for each field those that its rows hold, in order; none if it keeps nothing, all of
            them if its rows are stored whole.
        piece: rows that are not whole are stored in pieces of so many numbers.
    """

    columns: list[list[int]]
    piece: int

    @classmethod
    def of(cls, entries: Entries, field_sizes: Sequence[int]) -> "FieldColumns":
        """The columns in which a row of the field has an entry, and some that fill up pieces.

        Raises:
            ValueError: sizes that do not sum to the number of rows.
        """
        if sum(field_sizes) != entries.num_rows:
            raise ValueError(
                f"`field_sizes` must sum to the number of rows, {entries.num_rows}. Received a sum"
                f" of {sum(field_sizes)}"
            )
        kept = survivors(entries, field_sizes)
        widths, piece = _widths(kept.sum(axis=1), np.array(field_sizes), entries.dim)
        # A stable sort puts survivors first, then columns that fill up.
        order = np.argsort(~kept, axis=1, kind="stable")
        pairs = zip(order, widths, strict=True)
        return cls([np.sort(own[:width]).tolist() for own, width in pairs], piece)


def survivors(entries: Entries, field_sizes: Sequence[int]) -> np.ndarray:
    """bool [F, d]: whether the field has an entry in the column."""
    place = np.concatenate([[0], np.cumsum(entries.places)])
    masks = entries.masks()
    ends = np.cumsum(field_sizes)
    fields = []
    for start, end in zip(ends - field_sizes, ends, strict=True):
        own = masks[place[start] : place[end]]
        fields.append(np.bitwise_or.reduce(own, axis=0, initial=0))
    bits = np.array(fields, np.uint8)
    return np.unpackbits(bits, axis=1, count=entries.dim, bitorder="little").astype(bool)


def _widths(counts: np.ndarray, sizes: np.ndarray, dim: int) -> tuple[np.ndarray, int]:
    """Columns to store of each field, int64 [F], and the length of the pieces."""
    options = {piece: _rounded(counts, piece, dim) for piece in range(1, dim + 1)}
    most = _ROOM * min(int(sizes @ widths) for widths in options.values())

    def number_of_pieces(piece: int) -> int:
        narrow = options[piece] < dim
        return int(options[piece][narrow].sum()) // piece

    few = [piece for piece, widths in options.items() if sizes @ widths <= most]
    piece = min(few, key=number_of_pieces)
    widths = options[piece]
    more = sizes * (dim - widths)  # numbers that whole rows would add
    for field in np.argsort(more, kind="stable"):
        if widths[field] and sizes @ widths + more[field] <= most:
            widths[field] = dim
    return widths, piece


def _rounded(counts: np.ndarray, piece: int, dim: int) -> np.ndarray:
    """Columns in pieces; nearly whole rows become whole ones, see `Entries`."""
    widths = -(-counts // piece) * piece
    return np.where(widths >= WHOLE * dim, dim, widths)
