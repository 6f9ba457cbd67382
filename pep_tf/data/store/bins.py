"""The global shuffle: rows of any number put in random order on disk, in bounded memory.

Each row carries a random 64-bit `order`. Rows are first dealt into bins by its upper bits, then each bin
is read whole and sorted by it; the bins one after another are the rows sorted by `order`, however many
bins there are.
"""

import collections
import concurrent.futures
import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

_Item = TypeVar("_Item")
BLOCK_ROWS = 8192
ROWS_PER_BIN = 1 << 19
MAX_BINS = 300


def row_dtype(num_columns: int, weighted: bool = False) -> np.dtype:
    """One row on disk: order, row number, label, ids, and its weight if it has one."""
    fields: list[Any] = [("order", "<u8"), ("row", "<i8"), ("label", "u1")]
    weight: list[Any] = [("weight", "<f4")] if weighted else []
    return np.dtype([*fields, *weight, ("ids", "<i4", (num_columns,))])


def group(
    block: Any, dtype: np.dtype, num_bins: int, all_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """See `Bins.group`; `all_bins` are those of all splits."""
    place = (block.order >> np.uint64(32)) * np.uint64(num_bins) >> np.uint64(32)
    # Small integers are sorted by radix.
    place = place.astype(np.uint16) + block.split.astype(np.uint16) * np.uint16(num_bins)
    by_bin = np.argsort(place, kind="stable")
    records = np.empty(len(block.rows), dtype)
    records["order"], records["row"] = block.order[by_bin], block.rows[by_bin]
    records["label"], records["ids"] = block.labels[by_bin], block.ids[by_bin]
    if block.weights is not None:
        records["weight"] = block.weights[by_bin]
    counts = np.bincount(place, minlength=all_bins)
    return records, np.concatenate([[0], np.cumsum(counts)])


class Bins:
    """Temporary files, one for each split and range of `order`.

    Args:
        folder: an existing folder for them.
        num_splits: splits.
        num_bins: ranges a split.
        num_columns: C.
        weighted: whether rows have weights.

    Write inside `with bins:`, read after it.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        num_splits: int,
        num_bins: int,
        num_columns: int,
        weighted: bool = False,
    ) -> None:
        self._num_bins = num_bins
        self._dtype = row_dtype(num_columns, weighted)
        self._paths = [folder / f"bin-{i:05d}.tmp" for i in range(num_splits * num_bins)]
        self._files = [path.open("wb") for path in self._paths]

    def group(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        """Packs the rows of a `RowBlock`, bin by bin; safe in any thread.

        Returns:
            records of `row_dtype` [n], and int64 [bins + 1], where each bin's records start.
        """
        return group(block, self._dtype, self._num_bins, len(self._paths))

    def write(self, records: np.ndarray, starts: np.ndarray) -> None:
        """Appends what `group` returned; one thread only."""
        for i in np.flatnonzero(np.diff(starts)):
            self._files[i].write(records[starts[i] : starts[i + 1]].tobytes())

    def __enter__(self) -> "Bins":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Ends writing."""
        for file in self._files:
            # After a failure closing may fail the same way (a full disk); the first error counts.
            with contextlib.nullcontext() if kind is None else contextlib.suppress(OSError):
                file.close()

    def read(self, split: int, block_rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (bin, sorted rows) of a split, block by block; deletes what was read.

        A thread reads, sorts and gathers ahead, by a few blocks.
        """
        return _ahead(self._blocks(split, block_rows))

    def _blocks(self, split: int, block_rows: int) -> Iterator[tuple[int, np.ndarray]]:
        for index in range(self._num_bins):
            path = self._paths[split * self._num_bins + index]
            records = np.fromfile(path, self._dtype)
            path.unlink()
            for block in shuffled(records, block_rows):
                yield index, block


def shuffled(records: np.ndarray, block_rows: int) -> Iterator[np.ndarray]:
    """Records of a bin, in the order of the file, as they are stored, block by block."""
    # Stable: equal orders (one pair in 10^19) stay in the order of the file.
    order = np.argsort(records["order"], kind="stable")
    for start in range(0, len(order), block_rows):
        yield records[order[start : start + block_rows]]


def _ahead(items: Iterator[_Item], count: int = 4) -> Iterator[_Item]:
    """The same items, made in a thread up to `count` ahead."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = collections.deque(pool.submit(next, items, None) for _ in range(count))
        while (item := coming.popleft().result()) is not None:
            coming.append(pool.submit(next, items, None))
            yield item


def bins_for(num_rows: int, most: int = MAX_BINS) -> int:
    """How many bins keep one bin near half a million rows."""
    return min(max(1, -(-num_rows // ROWS_PER_BIN)), most)
