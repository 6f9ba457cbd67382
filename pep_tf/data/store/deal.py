"""Rows on their way into a store: dealt into bins as they come, then written shuffled, block by block."""

import hashlib
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm

from pep_tf.data.store.assign import SPLITS
from pep_tf.data.store.bins import BLOCK_ROWS, Bins, bins_for
from pep_tf.errors import DataError

Example = tuple[int, dict[str, np.ndarray]]


class RowBlock(NamedTuple):
    """Some rows: their numbers int64 [n], places of their splits in `SPLITS` uint8 [n], what they are
    shuffled by uint64 [n], labels uint8 [n], ids int32 [n, C], and weights float32 [n] or None."""

    rows: np.ndarray
    split: np.ndarray
    order: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    weights: np.ndarray | None = None


Grouped = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class DealtRows:
    """Rows of all splits, shuffled in bounded memory.

    Args:
        folder: an existing one, for temporary files.
        num_rows: about how many there are.
        num_columns: C, columns of ids.
        weighted: whether rows have weights.
        progress: shows a bar while shards are written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        num_rows: int,
        num_columns: int,
        *,
        weighted: bool = False,
        progress: bool = False,
    ) -> None:
        self._count, self._progress = bins_for(num_rows), progress
        self._bins = Bins(folder, len(SPLITS), self._count, num_columns, weighted)
        self.rows, self.clicks = [0] * len(SPLITS), [0] * len(SPLITS)

    def group(self, block: RowBlock) -> Grouped:
        """Packs rows for `fill`; safe in any thread."""
        rows = np.bincount(block.split, minlength=len(SPLITS))
        clicks = np.bincount(block.split, weights=block.labels, minlength=len(SPLITS))
        return rows, clicks, *self._bins.group(block)

    def fill(self, blocks: Iterable[Grouped], source: object) -> None:
        """Deals out all rows, in what `group` made of them; `source` is what they come from.

        Raises:
            DataError: a split without a row.
        """
        with self._bins:
            for rows, clicks, records, starts in blocks:
                self._bins.write(records, starts)
                for s in range(len(SPLITS)):
                    self.rows[s] += int(rows[s])
                    self.clicks[s] += int(clicks[s])
        refuse_empty_split(self.rows, source)

    def shards(self) -> dict[str, list[Callable[[], Iterator[Example]]]]:
        """By the name of each split its shards, to be written one after the other."""
        bar = tqdm.tqdm(
            total=sum(self.rows),
            desc="writing shards",
            unit="row",
            unit_scale=True,
            disable=not self._progress,
        )
        self._writers = [SplitWriter(self._bins, s, bar.update) for s in range(len(SPLITS))]
        return {
            name: [writer.shard for _ in range(self._count)]
            for name, writer in zip(SPLITS, self._writers, strict=True)
        }

    def facts(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of each split, once the shards are written."""
        return {
            name: {
                "rows": self.rows[s],
                "clicks": self.clicks[s],
                "rows_md5": self._writers[s].rows_md5,
                "block_rows": self._writers[s].block_rows,
            }
            for s, name in enumerate(SPLITS)
        }


def refuse_empty_split(rows: Sequence[int], source: object) -> None:
    """Raises DataError unless every split has a row."""
    if not all(rows):
        found = dict(zip(SPLITS, rows, strict=True))
        raise DataError(f"{source}: too few rows, a split would be empty ({found}).")


class SplitWriter:
    """Turns the bins of a split into TFDS examples, and notes which rows went where.

    Args:
        bins: filled and closed.
        split: index into `SPLITS`.
        progress: called with the rows of each block.
    """

    def __init__(self, bins: Bins, split: int, progress: Callable[[int], object]) -> None:
        self._blocks = bins.read(split, BLOCK_ROWS)
        self._progress = progress
        self._rows = hashlib.md5()
        self._waiting: tuple[int, np.ndarray] | None = None
        self._written = 0
        self.block_rows: list[list[int]] = []

    def shard(self) -> Iterator[Example]:
        """Examples of the next shard: blocks of `{"ids": int32 [n, C], "label": uint8 [n]}`."""
        shard = len(self.block_rows)
        self.block_rows.append([])
        while (item := self._waiting or next(self._blocks, None)) is not None:
            self._waiting = item
            owner, records = item
            if owner != shard:
                return
            self._waiting = None
            self._rows.update(records["row"].tobytes())
            self.block_rows[-1].append(len(records))
            self._progress(len(records))
            kept = [n for n in ("ids", "label", "weight") if n in (records.dtype.names or ())]
            yield self._written, {name: records[name] for name in kept}
            self._written += 1

    @property
    def rows_md5(self) -> str:
        """md5 of the row numbers (int64) in stored order."""
        return self._rows.hexdigest()
