"""Hashed rows streamed straight from a raw text file, no preparation needed."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.checks import counted_classes
from pep_tf.data.clicklogs.content import ContentDigest, refuse_change
from pep_tf.data.clicklogs.parse import ParsedBlock, Parser
from pep_tf.data.clicklogs.process import LineCounts, RawFile
from pep_tf.data.clicklogs.text import is_gzip
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.store import windows
from pep_tf.data.store.assign import SPLITS, assign_rows
from pep_tf.data.store.manifest import Stamp, stamp
from pep_tf.data.store.windows import WINDOW_BLOCKS
from pep_tf.errors import DataError


@dataclasses.dataclass(frozen=True)
class RawIndex:
    """Where the blocks of a raw file are, and how many rows of each split they hold.

    Attributes:
        starts, lengths: int64 [blocks], bytes.
        first_lines: int64 [blocks], line numbers.
        rows: int64 [blocks, splits].
        clicks: int64 [splits], rows labelled 1.
        md5: of the row numbers (int64) of each split, in file order.
        counts: of the lines.
        content: digests of what was read; see `ContentDigest`.
        stamp: of the file when it was read.
    """

    starts: np.ndarray
    lengths: np.ndarray
    first_lines: np.ndarray
    rows: np.ndarray
    clicks: np.ndarray
    md5: list[str]
    counts: LineCounts
    content: dict[str, Any]
    stamp: Stamp


def index_raw(raw: RawFile, seed: int) -> RawIndex:
    """Reads a raw file once: checks every line, splits the rows, notes where the blocks are.

    Raises:
        DataError: a gzip file, which has no random access; a file that changes meanwhile; see
            `RawFile.map` for the rest.
    """
    if raw.path.is_file() and is_gzip(raw.path):
        raise DataError(
            f"{raw.path}: a gzip file cannot be streamed in shuffled order; "
            f"unpack it, or prepare it with `pep-tf prepare {raw.format.name}`."
        )
    counts, content = LineCounts(raw.format), ContentDigest()
    digests = [hashlib.md5() for _ in SPLITS]
    places, rows = [], []
    clicks = np.zeros(len(SPLITS), np.int64)

    def split_rows(block: ParsedBlock) -> tuple[list[np.ndarray], np.ndarray]:
        numbers = raw.rows_of(block)
        split, _ = assign_rows(numbers, seed)
        clicked = np.bincount(split[block.labels > 0], minlength=len(SPLITS))
        return [numbers[split == s] for s in range(len(SPLITS))], clicked

    before = stamp(raw.path) if raw.path.is_file() else ()
    for text, (per_split, clicked) in raw.map(split_rows, counts, "reading", content):
        places.append((text.start, len(text.data), text.first_line))
        rows.append([len(numbers) for numbers in per_split])
        clicks += clicked
        for digest, numbers in zip(digests, per_split, strict=True):
            digest.update(numbers.tobytes())
    found = content.digests()
    refuse_change(raw.path, raw.format, found["features"], before)
    starts, lengths, first_lines = np.array(places, np.int64).T
    return RawIndex(
        starts,
        lengths,
        first_lines,
        np.array(rows, np.int64),
        clicks,
        [d.hexdigest() for d in digests],
        counts,
        found,
        before,
    )


class RawSplit:
    """One split of a raw text file; implements `Split`.

    `md5` is the md5 of its row numbers (int64) in file order.

    Args:
        raw: the file.
        transform: raw columns to ids.
        index: from `index_raw`.
        split: index into `SPLITS`.
        seed: the one the index was made with.
    """

    def __init__(
        self, raw: RawFile, transform: Transform, index: RawIndex, split: int, seed: int
    ) -> None:
        self._raw, self._transform, self._index = raw, transform, index
        self._split, self._seed, self._stamp = split, seed, index.stamp
        self._parser = Parser(raw.format, transform.features)
        if not index.rows[:, split].any():
            raise DataError(f"{raw.path}: too few rows, no row for {SPLITS[split]}.")

    @property
    def num_rows(self) -> int:
        return int(self._index.rows[:, self._split].sum())

    @property
    def md5(self) -> str:
        return self._index.md5[self._split]

    @property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur, in order."""
        return counted_classes(self.num_rows, int(self._index.clicks[self._split]))

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """See `Split.batches`. Blocks before `start` are not read.

        Raises:
            DataError: the file has changed since it was indexed.
        """
        self._check_text()
        order = windows.permutation(len(self._index.starts), seed, epoch)
        window_rows = windows.group_rows(self._index.rows[order, self._split], WINDOW_BLOCKS)
        at = windows.locate(window_rows, start * batch_size)
        mixing = None if seed is None else windows.window_seed(seed, epoch)
        num_fields = len(self._transform.features)

        def read(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            first = int(index) * WINDOW_BLOCKS
            blocks = [self._read_block(b) for b in order[first : first + WINDOW_BLOCKS]]
            ids, labels = zip(*blocks, strict=True)
            return np.concatenate(ids), np.concatenate(labels)

        def window(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            types = (tf.int32, tf.float32)
            # Where operations must be deterministic, a stateful one would not run in parallel.
            ids, labels = tf.numpy_function(read, [index], types, stateful=False)
            ids, labels = tf.ensure_shape(ids, [None, num_fields]), tf.ensure_shape(labels, [None])
            return windows.mix_rows((ids, labels), mixing, index, at)

        numbers = tf.data.Dataset.range(at.window, len(window_rows))
        mixed = numbers.map(window, num_parallel_calls=2, deterministic=True)
        return windows.into_batches(mixed, batch_size)

    def _check_text(self) -> None:
        """Raises DataError if the file holds another text than the one that was indexed."""
        now = stamp(self._raw.path)
        raw = self._raw
        refuse_change(raw.path, raw.format, self._index.content["features"], self._stamp)
        self._stamp = now  # of a file that was touched and holds the same

    def _read_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """ids int32 [n, F] and labels float32 [n] of this split's rows of a block."""
        index = self._index
        with open(self._raw.path, "rb") as file:
            file.seek(index.starts[block])
            data = file.read(index.lengths[block])
        parsed = self._parser.parse_block(data, int(index.first_lines[block]))
        split, _ = assign_rows(self._raw.rows_of(parsed), self._seed)
        ours = split == self._split
        return self._transform.ids(parsed.keys[ours]), parsed.labels[ours].astype(np.float32)
