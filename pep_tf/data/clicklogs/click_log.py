"""A raw file, text or gzip: its lines mapped to ids on several threads, held in memory or stored."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tqdm

from pep_tf.data.clicklogs.build import ClickLogOptions, count_keys, frequent, transform_of
from pep_tf.data.clicklogs.collisions import BucketUse
from pep_tf.data.clicklogs.content import ContentDigest, refuse_change, still_holds
from pep_tf.data.clicklogs.encoding import HashEncoding
from pep_tf.data.clicklogs.formats import Format
from pep_tf.data.clicklogs.line_counts import LineCounts, refuse_line
from pep_tf.data.clicklogs.parse import ParsedBlock, Parser
from pep_tf.data.clicklogs.strict import LineRule
from pep_tf.data.clicklogs.text import BLOCK_BYTES, TextBlock, blocks_of, open_raw, read_blocks
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.counting import Counter
from pep_tf.data.identity import Identity
from pep_tf.data.store.arrays import identity_of, stored
from pep_tf.data.store.assign import assign_rows
from pep_tf.data.store.deal import DealtRows, RowBlock
from pep_tf.data.store.manifest import (
    RAW_FILE,
    Stamp,
    note_stamps,
    read_stamps,
    stamp,
)
from pep_tf.data.store.place import refuse_other
from pep_tf.data.store.write import Shards
from pep_tf.errors import DataError

Result = TypeVar("Result")
# Click logs shrink about threefold under gzip; only the number of bins depends on it.
_GZIP_RATIO = 3


class ClickLog:
    """The rows of a raw file; see `Source`.

    Args:
        path: text or gzip.
        fmt: `CRITEO` or `AVAZU`.
        options: what decides the content.
        workers: threads that parse.
        progress: shows a bar with the time left.
        num_rows: about how many there are, where that is known.

    Attributes:
        transform, counts: once the rows are read.
    """

    weighted = False

    def __init__(
        self,
        path: pathlib.Path,
        fmt: Format,
        options: ClickLogOptions,
        *,
        workers: int = 2,
        progress: bool = False,
        num_rows: int | None = None,
    ) -> None:
        if workers < 1:
            raise DataError(f"`workers` must be at least 1. Received: {workers}")
        self.path, self.format, self.options = path, fmt, options
        self.features = options.features(fmt)
        self.num_columns = len(self.features)
        self._workers, self._progress = workers, progress
        self._num_rows = num_rows or _estimate_rows(path, fmt)
        self.bytes_needed = self._num_rows * (4 * self.num_columns + 32)
        self.stamps: dict[str, Stamp] = {}

    def examples(self, columns: Sequence[str], rows: int = 2) -> dict[str, np.ndarray]:
        """The raw text of the first good rows: `{column: bytes [rows]}`, fewer in a shorter file."""
        rule, delimiter = LineRule(self.format), self.format.delimiter
        lines = itertools.chain.from_iterable(
            text.data.split(b"\n") for text in read_blocks(self.path, self.format, 1 << 16)
        )
        good = (line.split(delimiter) for line in lines if not rule.fault(line))
        parts = list(itertools.islice(good, rows))
        place = self.format.columns.index
        return {c: np.array([part[place(c)] for part in parts], object) for c in columns}

    def _map(
        self,
        function: Callable[[ParsedBlock], Result],
        counts: LineCounts,
        title: str,
        content: ContentDigest | None = None,
    ) -> Iterator[Result]:
        """Yields `function(parsed block)` in file order, on several threads.

        `counts`, and `content` if it is given, grow as it goes.

        Raises:
            DataError: see `read_blocks`; a bad line with `on_bad_row="error"`; no good line at all.
        """
        parser = Parser(self.format, self.features)

        def work(text: TextBlock) -> tuple[TextBlock, ParsedBlock, Result | None]:
            parsed = parser.parse_block(text.data, text.first_line)
            if parsed.bad and self.options.on_bad_row == "error":
                return text, parsed, None
            return text, parsed, function(parsed)

        digest = None if content is None else content.text
        blocks = read_blocks(self.path, self.format, BLOCK_BYTES, digest)
        with (
            tqdm.tqdm(
                total=os.path.getsize(self.path) if self.path.is_file() else None,
                desc=title,
                unit="B",
                unit_scale=True,
                disable=not self._progress,
            ) as bar,
            concurrent.futures.ThreadPoolExecutor(self._workers) as pool,
        ):
            # A few blocks in flight, never the file: memory stays flat.
            first = itertools.islice(blocks, 2 * self._workers)
            waiting = collections.deque(pool.submit(work, block) for block in first)
            while waiting:
                text, parsed, result = waiting.popleft().result()
                counts.add(parsed)
                if content is not None:
                    content.add(parsed.labels)
                if result is None:
                    refuse_line(self.path, parsed.bad[0])
                yield result
                if (following := next(blocks, None)) is not None:
                    waiting.append(pool.submit(work, following))
                bar.update(text.end - bar.n)
        counts.require_rows(self.path)

    def _make_transform(self) -> Transform:
        """The transform of a store; for `vocabulary` this reads the raw file once."""
        options = self.options
        if options.encoding == "hash":
            return transform_of(self.format, options)
        counters = [Counter() for _ in self.features]
        count = functools.partial(count_keys, options=options)
        for found in self._map(count, LineCounts(self.format), "counting features"):
            for counter, (keys, counts) in zip(counters, found, strict=True):
                counter.add(keys, counts)
        kept = [frequent(*counter.result(), options) for counter in counters]
        return transform_of(self.format, options, kept)

    def read(self, function: Callable[[RowBlock], Result]) -> Iterator[Result]:
        """What a function makes of each block of rows, in file order; threads call it.

        Raises:
            DataError: see `read_blocks`; a bad line that is not skipped; no good line at all; a file that
                has changed at the end.
        """
        seed = self.options.seed
        self.stamps = {RAW_FILE: stamp(self.path)}
        self.transform = transform = self._make_transform()
        self.counts, content = LineCounts(self.format), ContentDigest()
        hashed = isinstance(transform.encoding, HashEncoding)
        use = BucketUse(transform.schema) if hashed else None

        def work(block: ParsedBlock) -> Result:
            rows, ids = block.rows, transform.ids(block.keys)
            if use is not None:
                use.add(ids)
            return function(RowBlock(rows, *assign_rows(rows, seed), block.labels, ids))

        yield from self._map(work, self.counts, "reading rows", content)
        self._content = content.digests()
        self._collisions = use.report() if use is not None else []
        refuse_change(self.path, self.format, self._content["features"], self.stamps[RAW_FILE])

    def shards(self, folder: pathlib.Path) -> Shards:
        shape = (self._num_rows, self.num_columns)
        self._dealt = DealtRows(folder, *shape, progress=self._progress)
        self._dealt.fill(self.read(self._dealt.group), self.path)
        self.transform.save(folder)
        return self._dealt.shards()

    def identity(self, content: Mapping[str, Any] | None = None) -> Identity:
        """Which rows they are, once they are read; or such a text of another content, {} where it is not known."""
        content = self._content if content is None else content
        return Identity(content, *self.options.parts(self.format), source=self.path.name)

    def facts(self) -> dict[str, Any]:
        return {
            "dataset": self.format.name,
            "raw": {"name": self.path.name, "bytes": self._raw_bytes()},
            "options": dataclasses.asdict(self.options),
            "identity": stored(self.identity()).get_config(),
            "source": self.format.source,
            "schema": self.transform.schema.get_config(),
            "transform_md5": self.transform.fingerprint,
            "lines": self.counts.to_dict(),
            "collisions": self._collisions,
            "splits": self._split_facts(),
        }

    def _raw_bytes(self) -> int:
        return self.path.stat().st_size

    def _split_facts(self) -> dict[str, Any]:
        return self._dealt.facts()

    def check(self, folder: pathlib.Path, manifest: dict[str, Any], verify: bool) -> None:
        """See `Source.check`; the raw file is read again only if its stamp has changed, or to `verify`."""
        known = identity_of(folder, manifest)
        refuse_other(folder, known, stored(self.identity({})))
        now, before = stamp(self.path), read_stamps(folder).get(RAW_FILE, ())
        text = known.content["features"]
        if not still_holds(self.path, self.format, text, before, verify=verify):
            content = ContentDigest()  # so that the message can name what changed
            for _ in self._map(lambda _: True, LineCounts(self.format), "comparing", content):
                pass
            refuse_other(folder, known, stored(self.identity(content.digests())))
        note_stamps(folder, {RAW_FILE: now})


def _estimate_rows(path: pathlib.Path, fmt: Format) -> int:
    """About how many rows a raw file has, from its size and its first lines."""
    with open_raw(path) as (text, file):
        first = next(blocks_of(text, file.tell, path, fmt), None)
        return rows_like(first, os.path.getsize(path) * (1 if text is file else _GZIP_RATIO), path)


def rows_like(block: TextBlock | None, size: int, path: object) -> int:
    """About how many rows a text of some bytes has, if all are as those of its first block."""
    if block is None:
        raise DataError(f"{path}: no row in it, only a header.")
    return int(size / (len(block.data) / max(block.data.count(b"\n"), 1)))
