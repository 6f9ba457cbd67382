"""Prepares a store from a raw file: what `pep-tf prepare criteo` and `avazu` run."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pep_tf.data.clicklogs.build import ClickLogOptions, count_keys, frequent, transform_of
from pep_tf.data.clicklogs.collisions import BucketUse
from pep_tf.data.clicklogs.content import ContentDigest, refuse_change, still_holds
from pep_tf.data.clicklogs.encoding import HashEncoding
from pep_tf.data.clicklogs.formats import FORMATS, Format
from pep_tf.data.clicklogs.parse import ParsedBlock
from pep_tf.data.clicklogs.process import LineCounts, RawFile
from pep_tf.data.clicklogs.text import TextBlock, is_gzip, read_blocks
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.counting import Counter
from pep_tf.data.identity import Identity
from pep_tf.data.store.arrays import identity_of, stored
from pep_tf.data.store.assign import assign_rows
from pep_tf.data.store.deal import DealtRows, RowBlock
from pep_tf.data.store.manifest import (
    RAW_FILE,
    STORE_VERSION,
    Stamp,
    note_stamps,
    read_stamps,
    stamp,
)
from pep_tf.data.store.place import refuse_other
from pep_tf.data.store.write import Shards, write
from pep_tf.errors import DataError
from pep_tf.paths import resolve

Result = TypeVar("Result")
# Click logs shrink about threefold under gzip; only the number of bins depends on it.
_GZIP_RATIO = 3


class ClickLog:
    """The rows of a raw file, mapped by `options`; see `Source`.

    Args:
        raw: the file.
        num_rows: about how many there are, where that is known.
    """

    weighted = False

    def __init__(self, raw: RawFile, num_rows: int | None = None) -> None:
        self._raw, self._options = raw, raw.options
        self.num_columns = len(raw.features)
        self._num_rows = num_rows or estimate_rows(raw.path, raw.format)
        self.bytes_needed = self._num_rows * (4 * self.num_columns + 32)
        self.stamps: dict[str, Stamp] = {}

    def read(self, function: Callable[[RowBlock], Result]) -> Iterator[Result]:
        """What a function makes of each block of rows, in file order; threads call it.

        Raises:
            DataError: see `RawFile.map`; a file that has changed at the end.
        """
        raw, seed = self._raw, self._options.seed
        self.stamps = {RAW_FILE: stamp(raw.path)}
        self.transform = transform = make_transform(raw)
        self.counts, content = LineCounts(raw.format), ContentDigest()
        hashed = isinstance(transform.encoding, HashEncoding)
        use = BucketUse(transform.schema) if hashed else None

        def work(block: ParsedBlock) -> Result:
            rows, ids = block.rows, transform.ids(block.keys)
            if use is not None:
                use.add(ids)
            return function(RowBlock(rows, *assign_rows(rows, seed), block.labels, ids))

        for _, made in raw.map(work, self.counts, "reading rows", content):
            yield made
        self._content = content.digests()
        self._collisions = use.report() if use is not None else []
        refuse_change(raw.path, raw.format, self._content["features"], self.stamps[RAW_FILE])

    def shards(self, folder: pathlib.Path) -> Shards:
        self._dealt = DealtRows(
            folder, self._num_rows, self.num_columns, progress=self._raw.progress
        )
        self._dealt.fill(self.read(self._dealt.group), self._raw.path)
        self.transform.save(folder)
        return self._dealt.shards()

    def identity(self, content: Mapping[str, Any] | None = None) -> Identity:
        """Which rows they are, once they are read; or such a text of another content, {} where it is not known."""
        content = self._content if content is None else content
        return Identity(content, *self._options.parts(self._raw.format), source=self._raw.path.name)

    def facts(self) -> dict[str, Any]:
        raw = self._raw
        return {
            "dataset": raw.format.name,
            "version": STORE_VERSION,
            "raw": {"name": raw.path.name, "bytes": self._raw_bytes()},
            "options": dataclasses.asdict(self._options),
            "identity": stored(self.identity()).get_config(),
            "source": raw.format.source,
            "schema": self.transform.schema.get_config(),
            "transform_md5": self.transform.fingerprint,
            "lines": self.counts.to_dict(),
            "collisions": self._collisions,
            "splits": self._split_facts(),
        }

    def _raw_bytes(self) -> int:
        return self._raw.path.stat().st_size

    def _split_facts(self) -> dict[str, Any]:
        return self._dealt.facts()

    def check(self, folder: pathlib.Path, manifest: dict[str, Any], verify: bool) -> None:
        """See `Source.check`; the raw file is read again only if its stamp has changed, or to `verify`."""
        raw, known = self._raw, identity_of(folder, manifest)
        refuse_other(folder, known, stored(self.identity({})))
        now, before = stamp(raw.path), read_stamps(folder).get(RAW_FILE, ())
        text = known.content["features"]
        if not still_holds(raw.path, raw.format, text, before, verify=verify):
            content = ContentDigest()  # so that the message can name what changed
            for _ in raw.map(lambda block: True, LineCounts(raw.format), "comparing", content):
                pass
            refuse_other(folder, known, stored(self.identity(content.digests())))
        note_stamps(folder, {RAW_FILE: now})


def prepare(
    dataset: str,
    raw: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: ClickLogOptions | None = None,
    *,
    workers: int = 2,
    progress: bool = False,
    overwrite: bool = False,
    verify: bool = False,
) -> dict[str, Any]:
    """Writes the store of a raw file into `out`; see `write`.

    Args:
        dataset: `criteo` or `avazu`.
        raw: text or gzip file.
        out: folder, made when missing; it holds one store of each data set.
        options: what decides the content.
        workers: threads.
        progress: shows bars with the time left.
        overwrite: replaces the store that is there.
        verify: of a store that is there, hashes the raw file and every file of the store even where
            size, times and inode are what they were.

    Returns:
        The manifest, with the store's folder as `folder`. A store of the same content and options
        that is already there is checked and returned.

    Raises:
        DataError: bad input, a store of other content or options, another preparation running, a full
            disk.
    """
    options = options or ClickLogOptions()
    raw, out = resolve(raw), resolve(out)
    if dataset not in FORMATS:
        raise DataError(f"`dataset` must be one of {list(FORMATS)}. Received: {dataset!r}")
    fmt = FORMATS[dataset]
    # Constructed for its checks of the arguments, before anything is written.
    file = RawFile(raw, fmt, options, workers, progress)
    return write(ClickLog(file), out, store_name(dataset), overwrite=overwrite, verify=verify)


def store_name(dataset: str) -> str:
    """What the store of a data set is called; see `write`."""
    return f"{dataset} kaggle"


def make_transform(raw: RawFile) -> Transform:
    """The transform of a store; for `vocabulary` this reads the raw file once."""
    options = raw.options
    if options.encoding == "hash":
        return transform_of(raw.format, options)
    counters = [Counter() for _ in raw.features]
    count = functools.partial(count_keys, options=options)
    for _, found in raw.map(count, LineCounts(raw.format), "counting features"):
        for counter, (keys, counts) in zip(counters, found, strict=True):
            counter.add(keys, counts)
    kept = [frequent(*counter.result(), options) for counter in counters]
    return transform_of(raw.format, options, kept)


def estimate_rows(path: pathlib.Path, fmt: Format) -> int:
    """About how many rows a raw file has, from its size and its first lines.

    Raises:
        DataError: no line but a header; see `read_blocks` for the rest.
    """
    block = next(read_blocks(path, fmt), None)
    return rows_like(block, path.stat().st_size * (_GZIP_RATIO if is_gzip(path) else 1), path)


def rows_like(block: TextBlock | None, size: int, path: object) -> int:
    """About how many rows a text of some bytes has, if all are as those of its first block."""
    if block is None:
        raise DataError(f"{path}: no row in it, only a header.")
    return int(size / (len(block.data) / max(block.data.count(b"\n"), 1)))
