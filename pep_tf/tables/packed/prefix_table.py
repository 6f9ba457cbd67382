"""A table whose rows keep their first numbers, stored one row behind the other with a width each."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import tensorflow as tf

from pep_tf.tables import BLOCK_ENTRIES
from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.octets import quotient, take
from pep_tf.tables.packed.row_index import RowIndex
from pep_tf.tables.packed.stored_table import Arrays, StoredTable, facts_of
from pep_tf.tables.packed.values import ITEM_BYTES, Values

_BLOCK = 32  # rows between two positions: one bit per row
_LEVELS = 16  # widths that half a byte tells apart
# Numbers stored for each entry, at most: above it, masks are what the rows have. Of the numbers that a ticket
# of prefixes keeps, a quarter became 0 when they were rounded in training (MovieLens-1M, 10 % of the bytes).
_FILLED = 1.5


class PrefixTable(StoredTable):
    """Rows of which only the first numbers are stored, of each as many as half a byte says.

    There are at most 16 widths, those that leave the fewest zeros to fill up a row; they stand in the
    graph, or in a layer's configuration. A row begins where the rows before it end: a position every
    32 rows, and the widths in between, say where. Where many rows are empty an index of rows leaves
    them out of all this.

    Args:
        arrays: `widths` uint8 [blocks, 16], two rows per byte; `starts` int16 or int32 [blocks]; `values`, see
            `Values`; and those of `RowIndex`, if rows are left out.
        facts: `levels`, the widths, and `unit` of the values, besides those of every form.

    Example:
        >>> table = PrefixTable.of(Entries.of([np.float32([[1, 2, 0], [0, 0, 0], [3, 0, 0]])]), "float32")
        >>> table.lookup(tf.constant([2, 0])).numpy().tolist()
        [[3.0, 0.0, 0.0], [1.0, 2.0, 0.0]]
    """

    def __init__(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        super().__init__(arrays, facts)
        self._levels = np.array(facts["levels"], np.int32)
        self._values = Values(self.arrays, "values", facts["unit"])
        self._index = RowIndex(self.arrays)

    @classmethod
    def of(cls, entries: Entries, dtype: str) -> Self:
        """Stores a table; its arrays are NumPy's. See `Values` for `dtype`."""
        return cls._in_widths(entries, dtype, _rounded(entries, dtype))

    @classmethod
    def within(cls, entries: Entries, dtype: str, most: int) -> Self | None:
        """The same in at most so many bytes, or None.

        None also where rows keep others than their first numbers, or positions would be too large.
        """
        rows = _rounded(entries, dtype)
        stored = int(rows.widths.sum())
        if stored > _FILLED * entries.nnz or stored >= 2**31 - 1 or rows.bytes > most:
            return None  # known before anything is encoded
        table = cls._in_widths(entries, dtype, rows)
        return table if table.nbytes <= most else None

    @classmethod
    def _in_widths(cls, entries: Entries, dtype: str, rows: "_Rows") -> Self:
        widths, levels = rows.widths, rows.levels
        kept, start = [np.zeros(0, np.float32)], 0
        for block in entries.blocks(max(1, BLOCK_ENTRIES // entries.dim)):
            own = widths[start : start + len(block)]
            kept.append(block[np.arange(entries.dim) < own[:, None]])
            start += len(block)
        arrays, unit = Values.encode(np.concatenate(kept), dtype, "values", widths)
        blocks = _whole_blocks(widths[rows.there])
        codes = np.searchsorted(levels, blocks).astype(np.uint8)
        arrays["widths"] = codes[:, ::2] | codes[:, 1::2] << 4
        starts = 1 + np.cumsum(blocks.sum(axis=1)) - blocks.sum(axis=1)
        arrays["starts"] = starts.astype(np.int16 if starts[-1] < 2**15 else np.int32)
        arrays |= rows.arrays
        return cls(arrays, {**facts_of(entries), "levels": levels.tolist(), "unit": unit})

    def parts(self) -> dict[str, int]:
        values = self._bytes("values", "values_scales")
        rows = self._bytes("starts", "widths") + self._index.nbytes
        return {"values": values, "rows": rows, "masks": 0}

    def stored_widths(self) -> np.ndarray:
        codes = np.stack([self.arrays["widths"] & 15, self.arrays["widths"] >> 4], axis=-1)
        places = self._index.find(tf.range(self.num_rows)).numpy()
        return np.append(0, self._levels[codes.reshape(-1)])[places]

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        """See `StoredTable`; a row that is left out has the width of nothing at any place."""
        places = self._index.find(rows)
        at = tf.maximum(places - 1, 0)
        block = quotient(at, _BLOCK)
        within = at - _BLOCK * block
        low, high = np.arange(256) % _LEVELS, np.arange(256) // _LEVELS
        pairs = np.append(self._levels, np.zeros(_LEVELS, np.int32))[np.stack([low, high], axis=1)]
        found = take(
            tf.constant(pairs, tf.int32), tf.cast(take(self.arrays["widths"], block), tf.int32)
        )
        widths = tf.reshape(found, [-1, _BLOCK])
        before = tf.constant(np.tri(_BLOCK, k=-1), tf.int32)
        start = tf.cast(take(self.arrays["starts"], block), tf.int32)
        start += tf.reduce_sum(widths * take(before, within), 1)
        own = tf.reduce_sum(widths * take(tf.constant(np.eye(_BLOCK), tf.int32), within), axis=1)
        own *= tf.minimum(places, 1)
        most = int(self._levels[-1])
        numbers = self._values.run(tf.expand_dims(start, 1), tf.expand_dims(own, 1), most)
        return tf.pad(numbers, [[0, 0], [0, self.dim - most]])


class _Rows(NamedTuple):
    """How rows are stored: numbers of each, int64 [N]; those that there are; which rows have a width, bool [N].

    `arrays` say so, and `bytes` are those of all but positions and scales.
    """

    widths: np.ndarray
    levels: np.ndarray
    there: np.ndarray
    arrays: dict[str, np.ndarray]
    bytes: float


def _rounded(entries: Entries, dtype: str) -> _Rows:
    """At most 16 widths, for all rows or for those that are not empty: whichever takes fewer bytes."""
    bits = np.unpackbits(entries.masks(), axis=1, count=entries.dim, bitorder="little")
    last = entries.dim - np.argmax(bits[:, ::-1], axis=1)
    widths = np.zeros(entries.num_rows, np.int64)
    widths[entries.places] = np.where(bits.any(axis=1), last, 0)
    ways = []
    for there in (np.ones(len(widths), bool), widths > 0):
        if there.any():
            levels = _levels(np.bincount(widths[there], minlength=entries.dim + 1))
            stored = np.where(there, levels[np.searchsorted(levels, widths)], 0)
            index = RowIndex.encode(there)
            size = ITEM_BYTES[dtype] * int(stored.sum()) + np.count_nonzero(there) / 2
            size += RowIndex(index).nbytes
            ways.append(_Rows(stored, levels, there, index, size))
    return min(ways, key=lambda way: way.bytes)


def _levels(counts: np.ndarray) -> np.ndarray:
    """Of widths with so many rows each [d + 1] the 16, or fewer, that store the fewest numbers.

    The best set of k levels that ends with a width comes from the best of k - 1 that ends before it.
    """
    there = np.flatnonzero(counts)
    if len(there) <= _LEVELS:
        return there
    before = np.concatenate([[0], np.cumsum(counts[there])])
    # [first, last]: numbers of the rows from one width to another, all stored as wide as the last.
    cost = np.triu(there[None, :] * (before[None, 1:] - before[:-1, None]).astype(float))
    cost[np.tril_indices(len(there), -1)] = np.inf
    best, chosen = cost[0], []
    for _ in range(_LEVELS - 1):
        sums = np.concatenate([[np.inf], best[:-1]])[:, None] + cost
        chosen.append(np.argmin(sums, axis=0))
        best = sums.min(axis=0)
    end, levels = len(there) - 1, [len(there) - 1]
    for first in reversed(chosen):
        end = int(first[end]) - 1
        levels.append(end)
    return there[levels[::-1]]


def _whole_blocks(widths: np.ndarray) -> np.ndarray:
    """[blocks, 32], filled up with a width that is there, which nothing looks up."""
    padded = np.full(-(-len(widths) // _BLOCK) * _BLOCK, widths.min())
    padded[: len(widths)] = widths
    return padded.reshape(-1, _BLOCK)
