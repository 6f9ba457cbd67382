"""Prepares a store from a raw file: what `pep-tf prepare criteo` and `avazu` run."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pep_tf.data.clicklogs.build import ClickLogOptions, estimate_rows, make_transform
from pep_tf.data.clicklogs.collisions import BucketUse
from pep_tf.data.clicklogs.content import ContentDigest, refuse_change, still_holds
from pep_tf.data.clicklogs.encoding import HashEncoding
from pep_tf.data.clicklogs.formats import FORMATS
from pep_tf.data.clicklogs.parse import ParsedBlock
from pep_tf.data.clicklogs.process import LineCounts, RawFile
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


class ClickLog:
    """The rows of a raw file, mapped by `options`; see `Source`.

    Args:
        raw: the file.
        options: what decides the content.
        num_rows: about how many there are, where that is known.
    """

    weighted = False

    def __init__(self, raw: RawFile, options: ClickLogOptions, num_rows: int | None = None) -> None:
        self._raw, self._options = raw, options
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
        self.transform = transform = make_transform(raw, self._options)
        self.counts, content = LineCounts(raw.format), ContentDigest()
        hashed = isinstance(transform.encoding, HashEncoding)
        use = BucketUse(transform.schema) if hashed else None

        def work(block: ParsedBlock) -> Result:
            rows = raw.rows_of(block)
            ids = transform.ids(block.keys)
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

    @property
    def identity(self) -> Identity:
        """Which rows they are, once they are read."""
        return self._options.identity(self._raw, self._content)

    def facts(self) -> dict[str, Any]:
        raw = self._raw
        return {
            "dataset": raw.format.name,
            "version": STORE_VERSION,
            "raw": {"name": raw.path.name, "bytes": self._raw_bytes()},
            "options": dataclasses.asdict(self._options),
            "identity": stored(self.identity).get_config(),
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
        refuse_other(folder, known, stored(self._options.identity(raw, {})))
        now, before = stamp(raw.path), read_stamps(folder).get(RAW_FILE, ())
        text = known.content["features"]
        if not still_holds(raw.path, raw.format, text, before, verify=verify):
            content = ContentDigest()  # so that the message can name what changed
            for _ in raw.map(lambda block: True, LineCounts(raw.format), "comparing", content):
                pass
            refuse_other(folder, known, stored(self._options.identity(raw, content.digests())))
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
    file = RawFile(raw, fmt, options.features(fmt), options.on_bad_row, workers, progress)
    source = ClickLog(file, options)
    return write(source, out, store_name(dataset), overwrite=overwrite, verify=verify)


def store_name(dataset: str) -> str:
    """What the store of a data set is called; see `write`."""
    return f"{dataset} kaggle"
