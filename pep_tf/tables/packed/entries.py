"""What the packing keeps of a table's row blocks: nothing that grows with N x d."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from pep_tf.tables.packed.bound import bound_bytes, count_histogram
from pep_tf.tables.packed.octets import pack_bits

# A row that keeps at least this share is stored whole: its zeros cost little more than its mask
# would, and a copy of it is many times faster than to gather its entries one by one. At 3/4 instead
# of 7/8 the table of `benchmarks.serving --kept=0.01 --measure=sizes` has 1.4 % more bytes, and a
# seventh fewer rows of a batch are decoded.
WHOLE = 3 / 4


@dataclasses.dataclass(frozen=True)
class Entries:
    """The entries of a table that are not zero, and where they are.

    Attributes:
        places: bool [n], whether the row has a place, from 1 on, in what follows.
        whole: bool [number of places], whether the row is stored whole.
        rows: float32 [whole rows, d].
        octets: uint8 [other rows, ceil(d / 8)], their masks.
        values: float32 [entries of the other rows].
        histogram: int64 [d + 1], rows of the table by number of entries.
    """

    places: np.ndarray
    whole: np.ndarray
    rows: np.ndarray
    octets: np.ndarray
    values: np.ndarray
    histogram: np.ndarray

    @property
    def dim(self) -> int:
        return len(self.histogram) - 1

    @property
    def num_rows(self) -> int:
        """N."""
        return int(self.histogram.sum())

    @property
    def nnz(self) -> int:
        return int(self.histogram @ np.arange(self.dim + 1))

    @property
    def bound_bytes(self) -> float:
        """See `pep_tf.tables.packed.bound`."""
        return bound_bytes(self.histogram)

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> "Entries":
        """Of row blocks float32 [n_i, d] in order, one of which is held at a time."""
        parts = [cls._of_block(block) for block in blocks]
        widths = sorted({part.dim for part in parts})
        if len(widths) > 1:
            raise ValueError(f"`blocks` must be of one width. Received widths: {widths}")
        if not sum(len(part.places) for part in parts):
            raise ValueError("`blocks` must have at least one row. Received: none.")

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            places=joined("places"),
            whole=joined("whole"),
            rows=joined("rows"),
            octets=joined("octets"),
            values=joined("values"),
            histogram=np.sum([part.histogram for part in parts], axis=0),
        )

    @classmethod
    def _of_block(cls, block: np.ndarray) -> "Entries":
        mask = block != 0
        counts = np.count_nonzero(mask, axis=1)
        occupied, whole = counts > 0, counts >= WHOLE * block.shape[1]
        few = occupied & ~whole
        return cls(
            occupied,
            whole[occupied],
            block[whole & occupied].astype(np.float32, copy=False),
            pack_bits(mask[few]),
            block[few][mask[few]].astype(np.float32, copy=False),
            count_histogram(mask),
        )

    def with_places(self, rows: np.ndarray) -> "Entries":
        """The same where these rows, bool [N], have a place too, entries or not."""
        places = self.places | rows
        had = self.places[places]
        whole = np.zeros(len(had), bool)
        whole[had] = self.whole
        few = had[~whole]
        octets = np.zeros((len(few), self.octets.shape[1]), np.uint8)
        octets[few] = self.octets
        return dataclasses.replace(self, places=places, whole=whole, octets=octets)

    def mapped(self, change: Callable[[np.ndarray, np.ndarray, np.ndarray], Any]) -> "Entries":
        """The same with other values: `change` of values, rows and columns, each of one entry [n]."""
        occupied, few = np.flatnonzero(self.places), ~self.whole
        row, column = np.nonzero(
            np.unpackbits(self.octets, axis=1, count=self.dim, bitorder="little")
        )
        count, whole = self.rows.size, occupied[self.whole]
        values = np.concatenate([self.rows.ravel(), self.values])
        rows = np.concatenate([np.repeat(whole, self.dim), occupied[few][row]])
        columns = np.concatenate([np.tile(np.arange(self.dim), len(whole)), column])
        made = change(values, rows, columns).astype(np.float32)
        own = made[:count].reshape(self.rows.shape)
        return dataclasses.replace(self, rows=own, values=made[count:])

    def masks(self) -> np.ndarray:
        """uint8 [number of places, ceil(d / 8)]: the mask of every place, lowest bit first."""
        masks = np.empty((len(self.whole), self.octets.shape[1]), np.uint8)
        masks[self.whole] = pack_bits(self.rows != 0)
        masks[~self.whole] = self.octets
        return masks

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """The table again, in row blocks float32 [size, d] (the last one shorter), in order."""
        place = np.concatenate([[0], np.cumsum(self.places)])
        few = np.concatenate([[0], np.cumsum(~self.whole)])  # places not stored whole before each
        kept = np.unpackbits(self.octets, axis=1, count=self.dim, bitorder="little").sum(1, int)
        value = np.concatenate([[0], np.cumsum(kept)])
        for start in range(0, self.num_rows, size):
            rows = self.places[start : start + size]
            block = np.zeros((len(rows), self.dim), np.float32)
            places = slice(place[start], place[start + len(rows)])
            whole, low, high = self.whole[places], few[places.start], few[places.stop]
            own = np.zeros((len(whole), self.dim), np.float32)
            own[whole] = self.rows[places.start - low : places.stop - high]
            octets = self.octets[low:high]
            mask = np.zeros(own.shape, bool)
            mask[~whole] = np.unpackbits(octets, axis=1, count=self.dim, bitorder="little")
            own[mask] = self.values[value[low] : value[high]]
            block[rows] = own
            yield block
