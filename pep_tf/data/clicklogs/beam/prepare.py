"""A store made by Apache Beam: equal to that of the one-host tool, and byte for byte the same each time."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import logging
import os
import pathlib
import pickle
import re
import shlex
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_datasets as tfds
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pep_tf.data.clicklogs.beam import steps
from pep_tf.data.clicklogs.beam.ranges import Range, first_block, open_text, ranges_of, size_of
from pep_tf.data.clicklogs.beam.runners import IN_PROCESS
from pep_tf.data.clicklogs.build import ClickLogOptions, transform_of
from pep_tf.data.clicklogs.click_log import ClickLog, rows_like
from pep_tf.data.clicklogs.collisions import BucketUse
from pep_tf.data.clicklogs.content import ContentDigest, refuse_change
from pep_tf.data.clicklogs.encoding import HashEncoding
from pep_tf.data.clicklogs.formats import FORMATS
from pep_tf.data.clicklogs.line_counts import LineCounts
from pep_tf.data.clicklogs.prepare import store_name
from pep_tf.data.clicklogs.text import blocks_of
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.store.arrays import identity_of, stored
from pep_tf.data.store.assign import SPLITS
from pep_tf.data.store.bins import bins_for
from pep_tf.data.store.deal import refuse_empty_split
from pep_tf.data.store.manifest import RAW_FILE, file_md5, stamp
from pep_tf.data.store.place import refuse_other
from pep_tf.data.store.write import StoreBuilder, write
from pep_tf.errors import DataError
from pep_tf.paths import resolve

_MOST_BINS = 65_535 // len(SPLITS)  # a bin is named by 16 bits


_REFUSED = re.compile(r"DataError: (.*?)(?: \[while running .*)?$", re.MULTILINE)


@dataclasses.dataclass
class Pipelines:
    """Runs pipelines, and brings back what they found.

    Attributes:
        runner: a name that Beam knows; `DirectRunner` is the one that stays in this process.
        options: of Beam and the runner, as on a command line.
    """

    runner: str
    options: str

    @property
    def temp_location(self) -> str | None:
        """The folder that all workers reach, of `--temp_location`."""
        return PipelineOptions(shlex.split(self.options)).get_all_options().get("temp_location")

    def run(self, work: str, make: Callable[[beam.Pipeline], beam.PCollection]) -> list[Any]:
        """The elements of the collection that `make` adds to a pipeline.

        Raises:
            DataError: what a worker has refused.
        """
        # By name, Beam's DirectRunner may fetch another program to run.
        runner: Any = FnApiRunner() if self.runner == IN_PROCESS else self.runner
        path = FileSystems.join(work, "found.pickle")
        # A worker's error is logged with its traceback, and raised here as well.
        logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
        try:
            with beam.Pipeline(runner, PipelineOptions(shlex.split(self.options))) as pipeline:
                found = make(pipeline) | "all of it" >> beam.combiners.ToList()
                _ = found | "bring back" >> beam.Map(_save, path)
        except Exception as error:
            if told := _REFUSED.search(f"{type(error).__name__}: {error}"):
                raise DataError(told[1]) from error
            raise
        with steps.open_part(path) as file:
            return list(pickle.load(file))


def _save(found: list[Any], path: str) -> None:
    steps.put(io.BytesIO(pickle.dumps(found)), path)


class BeamLog(ClickLog):
    """The rows of a raw text on any file system that Beam knows; see `Source`.

    Args:
        path: of the text.
        format_name: `criteo` or `avazu`.
        options: of the store.
        pipelines: run what is to be done.

    Raises:
        DataError: a text that cannot be read, of another format, or gzip.
    """

    def __init__(
        self, path: str, format_name: str, options: ClickLogOptions, pipelines: Pipelines
    ) -> None:
        self._pipelines = pipelines
        self._is_local = "://" not in path
        self._path = str(resolve(path)) if self._is_local else path
        fmt = FORMATS[format_name]
        self._first, self._size = first_block(self._path, fmt), size_of(self._path)
        num_rows = rows_like(self._first, self._size, self._path)
        super().__init__(pathlib.Path(self._path), fmt, options, num_rows=num_rows)

    def _raw_bytes(self) -> int:
        return self._size

    def check(self, folder: pathlib.Path, manifest: dict[str, Any], verify: bool) -> None:
        """See `Source.check`; a text that is not on this machine has no stamp and is read again."""
        if self._is_local:
            super().check(folder, manifest, verify)
            return
        known = identity_of(folder, manifest)
        own = {**known.content, "features": _text_digest(self._path, self.format.name)}
        refuse_other(folder, known, stored(self.identity(own)))

    def write_shards(
        self, folder: pathlib.Path, name_of: Callable[[int, int], str]
    ) -> dict[str, list[steps.ShardFacts]]:
        """Writes transform and shards; gives what the shards of each split hold.

        Args:
            folder: of the store.
            name_of: of a shard's file, by split and number.
        """
        self.stamps = {RAW_FILE: stamp(self.path)} if self._is_local else {}
        with _work_folder(self._pipelines.temp_location, folder) as work:
            self._count_lines(work)
            job = steps.Job(self._path, self.format.name, self.options, work, self.num_bins)
            self.transform = self._transform_of(job)
            steps.save_transform(self.transform, work)
            shards = self._deal(job)
            for facts in itertools.chain(*shards):
                target = folder / name_of(facts.split, facts.bin)
                _fetch(steps.shard_path(work, facts.split, facts.bin), target, facts.md5)
            self._splits = [_split_facts(work, own) for own in shards]
        if self._is_local:
            refuse_change(self.path, self.format, self._content["features"], self.stamps[RAW_FILE])
        self.transform.save(folder)
        return dict(zip(SPLITS, shards, strict=True))

    @property
    def num_bins(self) -> int:
        """Shards of each split."""
        return bins_for(self._num_rows, _MOST_BINS)

    def _split_facts(self) -> dict[str, Any]:
        return dict(zip(SPLITS, self._splits, strict=True))

    def _count_lines(self, work: str) -> None:
        """Finds the ranges with their first lines, and the digest of the text."""
        assert self._first is not None, "rows_like refuses a text without rows"
        ranges, fmt = ranges_of(self._path, self._first.start), self.format

        def make(pipeline: beam.Pipeline) -> beam.PCollection:
            lines = _spread(pipeline, "ranges", ranges) | "count lines" >> beam.Map(
                steps.count_lines, self._path
            )
            text = _spread(pipeline, "text", [self._path]) | "digest" >> beam.Map(
                _text_digest, fmt.name
            )
            return (lines, text) | beam.Flatten()

        found = self._pipelines.run(work, make)
        [self._text] = [one for one in found if isinstance(one, str)]
        lines = [count for _, count in sorted(one for one in found if not isinstance(one, str))]
        first = np.cumsum([self._first.first_line, *lines[:-1]]).tolist()
        self._ranges: list[tuple[Range, int]] = list(zip(ranges, first, strict=True))

    def _transform_of(self, job: steps.Job) -> Transform:
        fmt, options = self.format, self.options
        if options.encoding == "hash":
            return transform_of(fmt, options)

        def make(pipeline: beam.Pipeline) -> beam.PCollection:
            return (
                _spread(pipeline, "ranges", self._ranges)
                | "keys" >> beam.FlatMap(steps.keys_of, job)
                | "merge keys" >> beam.CombinePerKey(steps.MergeKeys(options))
            )

        kept: list[list[np.ndarray]] = [[np.empty(0, np.uint64)] for _ in self.features]
        for (field, _), keys in self._pipelines.run(job.work, make):
            kept[field].append(keys)
        return transform_of(fmt, options, [np.sort(np.concatenate(k)) for k in kept])

    def _deal(self, job: steps.Job) -> list[list[steps.ShardFacts]]:
        """Writes all shards to the work folder; what they hold, by split, in order."""

        def make(pipeline: beam.Pipeline) -> beam.PCollection:
            dealt = _spread(pipeline, "ranges", self._ranges) | "deal" >> beam.ParDo(
                steps.Deal(job)
            ).with_outputs("facts", main="rows")
            write = beam.ParDo(steps.WriteShard(job)).with_outputs("used", main="shards")
            written = dealt.rows | beam.GroupByKey() | "write" >> write
            used = written.used | beam.CombineGlobally(steps.union).without_defaults()
            return (dealt.facts, written.shards, used) | beam.Flatten()

        found = self._pipelines.run(job.work, make)
        of_ranges = [one for one in found if isinstance(one, steps.RangeFacts)]
        of_shards = [one for one in found if isinstance(one, steps.ShardFacts)]
        self.counts, content = LineCounts(self.format), ContentDigest()
        for facts in sorted(of_ranges, key=lambda facts: facts.number):
            self.counts.add_later(facts.counts)
            content.add(np.unpackbits(facts.labels, count=facts.counts.rows))
        self.counts.require_rows(self._path)
        self._content = {**content.digests(), "features": self._text}
        shards: list[list[steps.ShardFacts]] = [[] for _ in SPLITS]
        for shard in sorted(of_shards, key=lambda facts: (facts.split, facts.bin)):
            shards[shard.split].append(shard)
        refuse_empty_split([sum(sum(s.block_rows) for s in own) for own in shards], self._path)
        schema, self._collisions = self.transform.schema, []
        if isinstance(self.transform.encoding, HashEncoding):
            [used] = [one for one in found if isinstance(one, np.ndarray)]
            use = BucketUse(schema)
            use.add_used(np.unpackbits(used, count=schema.num_features).view(bool))
            self._collisions = use.report()
        return shards


def _spread(pipeline: beam.Pipeline, name: str, items: list[Any]) -> beam.PCollection:
    """Items over all workers."""
    return pipeline | name >> beam.Create(items) | f"spread {name}" >> beam.Reshuffle()


def _text_digest(path: str, format_name: str) -> str:
    digest, fmt = hashlib.sha256(), FORMATS[format_name]
    with open_text(path) as text:
        for _ in blocks_of(text, text.tell, path, fmt, digest=digest):
            pass
    return digest.hexdigest()


@contextlib.contextmanager
def _work_folder(temp_location: str | None, folder: pathlib.Path) -> Iterator[str]:
    """A folder of its own for what workers write, below `temp_location` or the store's; then removed."""
    if temp_location is None:
        work = str(folder / "beam.tmp")
    else:
        work = FileSystems.join(temp_location, f"pep_tf-{uuid.uuid4().hex}")
    FileSystems.mkdirs(work)
    try:
        yield work
    finally:
        FileSystems.delete([work])


def _fetch(source: str, target: pathlib.Path, md5: str) -> None:
    """Brings a shard into the store; raises DataError where it is not what was written."""
    with steps.open_part(source) as file, target.open("wb") as to:
        shutil.copyfileobj(file, to, 1 << 20)
    if file_md5(target) != md5:
        raise DataError(f"{source}: damaged on its way; prepare the data again.")


def _split_facts(work: str, shards: list[steps.ShardFacts]) -> dict[str, Any]:
    """What the manifest says of a split; see `DealtRows.facts`."""
    digest = hashlib.md5()
    for facts in shards:
        with steps.open_part(steps.rows_path(work, facts.split, facts.bin)) as file:
            while data := file.read(1 << 20):
                digest.update(data)
    return {
        "rows": sum(sum(facts.block_rows) for facts in shards),
        "clicks": sum(facts.clicks for facts in shards),
        "rows_md5": digest.hexdigest(),
        "block_rows": [facts.block_rows for facts in shards],
    }


class _BeamStore(StoreBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A store whose shards workers write, in place of TFDS."""

    source: BeamLog

    def _write_shards(self, dl_manager: Any, download_config: Any) -> None:
        bins = self.source.num_bins
        templates = [self._get_filename_template(split_name=name) for name in SPLITS]

        def name_of(split: int, index: int) -> str:
            return templates[split].sharded_filepath(shard_index=index, num_shards=bins).name

        shards = self.source.write_shards(pathlib.Path(self.data_dir), name_of)
        infos = [
            tfds.core.SplitInfo(
                name=name,
                shard_lengths=[len(facts.block_rows) for facts in own],
                num_bytes=sum(facts.bytes for facts in own),
                filename_template=template,
            )
            for (name, own), template in zip(shards.items(), templates, strict=True)
        ]
        self.info.set_splits(tfds.core.SplitDict(infos))


def prepare(
    dataset: str,
    raw: str,
    out: str | os.PathLike[str],
    options: ClickLogOptions,
    *,
    runner: str,
    beam_options: str = "",
    overwrite: bool = False,
    verify: bool = False,
) -> dict[str, Any]:
    """Writes the store of a raw text into `out`, as `pep_tf.data.clicklogs.prepare` does.

    Args:
        dataset: `criteo` or `avazu`.
        raw: text, not gzip, where all workers can read it: a path, or such as `gs://`.
        out: folder of this machine.
        options: what decides the content.
        runner: one of `RUNNERS`.
        beam_options: of Beam and the runner, as on a command line. Workers on other machines need a
            `--temp_location` that they and this process reach.
        overwrite, verify: see there.

    Returns:
        The manifest, with the store's folder as `folder`.

    Raises:
        DataError: as there, or a text that cannot be read in ranges.
    """
    source = BeamLog(raw, dataset, options, Pipelines(runner, beam_options))
    how: dict[str, Any] = {"builder": _BeamStore, "overwrite": overwrite, "verify": verify}
    return write(source, resolve(out), store_name(dataset), **how)
