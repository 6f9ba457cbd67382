"""What workers do with a range of text, with the keys of a field, and with the rows of a bin."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pep_tf.data.clicklogs.beam.ranges import Range, blocks_in
from pep_tf.data.clicklogs.build import ClickLogOptions, count_keys, frequent
from pep_tf.data.clicklogs.formats import FORMATS, Format
from pep_tf.data.clicklogs.line_counts import LineCounts, refuse_line
from pep_tf.data.clicklogs.parse import ParsedBlock, Parser
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.counting import Counter
from pep_tf.data.store.assign import SPLITS, assign_rows
from pep_tf.data.store.bins import BLOCK_ROWS, group, row_dtype, shuffled
from pep_tf.data.store.deal import RowBlock
from pep_tf.data.store.write import features_of

Counts = tuple[np.ndarray, np.ndarray]
_PARTS = 4  # that the keys of a field are counted in


@dataclasses.dataclass(frozen=True)
class Job:
    """What every worker knows.

    Attributes:
        path: of the text.
        format_name: `criteo` or `avazu`.
        options: of the store.
        work: a folder that all workers reach.
        num_bins: ranges of a split's shuffle; each becomes a shard.
    """

    path: str
    format_name: str
    options: ClickLogOptions
    work: str
    num_bins: int

    @property
    def format(self) -> Format:
        return FORMATS[self.format_name]

    @functools.cached_property
    def parser(self) -> Parser:
        return Parser(self.format, self.options.features(self.format))

    def __getstate__(self) -> dict[str, Any]:
        """Without what was made of it."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def parsed(self, place: Range, first_line: int) -> Iterator[ParsedBlock]:
        """The rows of a range.

        Raises:
            DataError: a bad line, where these are not skipped.
        """
        for text in blocks_in(self.path, place, first_line):
            block = self.parser.parse_block(text.data, text.first_line)
            if block.bad and self.options.on_bad_row == "error":
                refuse_line(self.path, block.bad[0])
            yield block


def count_lines(place: Range, path: str) -> tuple[int, int]:
    """Number of a range, and of lines in it."""
    return place.number, sum(text.data.count(b"\n") for text in blocks_in(path, place))


def keys_of(item: tuple[Range, int], job: Job) -> Iterator[tuple[tuple[int, int], Counts]]:
    """By field and part of its keys: distinct keys of a range, and how often each occurs."""
    counters = [Counter() for _ in job.options.features(job.format)]
    for block in job.parsed(*item):
        found = count_keys(block, job.options)
        for counter, (keys, numbers) in zip(counters, found, strict=True):
            counter.add(keys, numbers)
    for field, counter in enumerate(counters):
        keys, numbers = counter.result()
        for part in range(_PARTS):
            mine = keys % np.uint64(_PARTS) == part
            yield (field, part), (keys[mine], numbers[mine])


class MergeKeys(beam.CombineFn):
    """Counts of ranges to the keys that occur often enough."""

    def __init__(self, options: ClickLogOptions) -> None:
        self._options = options

    def create_accumulator(self) -> Counter:
        return Counter()

    def add_input(self, counter: Counter, counts: Counts) -> Counter:
        counter.add(*counts)
        return counter

    def merge_accumulators(self, counters: Iterable[Counter]) -> Counter:
        merged = Counter()
        for counter in counters:
            merged.add(*counter.result())
        return merged

    def extract_output(self, counter: Counter) -> np.ndarray:
        return frequent(*counter.result(), self._options)


@dataclasses.dataclass
class RangeFacts:
    """What a range had: lines, and labels of its rows as bits (`numpy.packbits`)."""

    number: int
    counts: LineCounts
    labels: np.ndarray


class Deal(beam.DoFn):
    """(range, first line) to ((split, bin), packed rows); what the ranges had as output `facts`."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def setup(self) -> None:
        self._transform = load_transform(self._job.work)

    def process(self, item: tuple[Range, int]) -> Iterator[Any]:
        job, counts, labels = self._job, LineCounts(self._job.format), [np.empty(0, np.uint8)]
        bins = job.num_bins * len(SPLITS)
        dtype = row_dtype(self._transform.schema.num_fields)
        pieces: list[list[bytes]] = [[] for _ in range(bins)]
        for block in job.parsed(*item):
            counts.add(block)
            labels.append(block.labels)
            rows, ids = block.rows, self._transform.ids(block.keys)
            dealt = RowBlock(rows, *assign_rows(rows, job.options.seed), block.labels, ids)
            records, starts = group(dealt, dtype, job.num_bins, bins)
            for i in np.flatnonzero(np.diff(starts)).tolist():
                pieces[i].append(records[starts[i] : starts[i + 1]].tobytes())
        first = item[0].number == 0  # so that a bin without rows becomes a shard as well
        for place, parts in enumerate(pieces):
            if parts or first:
                yield divmod(place, job.num_bins), b"".join(parts)
        bits = np.packbits(np.concatenate(labels))
        yield beam.pvalue.TaggedOutput("facts", RangeFacts(item[0].number, counts, bits))


@dataclasses.dataclass
class ShardFacts:
    """What a shard holds."""

    split: int
    bin: int
    block_rows: list[int]
    clicks: int
    bytes: int
    md5: str


class WriteShard(beam.DoFn):
    """((split, bin), packed rows) to a shard and its row numbers in the work folder; gives its facts.

    The features that occur in it, as bits, are the output `used`.
    The same rows give the same bytes, however often and wherever it is done.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    def setup(self) -> None:
        self._schema = load_transform(self._job.work).schema
        features = features_of(self._schema.num_fields, weighted=False)
        self._encode = features.encode_example
        info = features.get_serialized_info()
        self._serialize = tfds.core.example_serializer.ExampleSerializer(info).serialize_example

    def process(self, item: tuple[tuple[int, int], Iterable[bytes]]) -> Iterator[Any]:
        (split, index), pieces = item
        records = np.frombuffer(b"".join(pieces), row_dtype(self._schema.num_fields))
        records = records[np.argsort(records["row"])]  # the order of the file, however they came
        facts = ShardFacts(split, index, [], int(records["label"].sum()), 0, "")
        used, rows = np.zeros(self._schema.num_features, bool), []
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "shard")
            with tf.io.TFRecordWriter(path) as writer:
                for block in shuffled(records, BLOCK_ROWS):
                    writer.write(self._example({name: block[name] for name in ("ids", "label")}))
                    facts.block_rows.append(len(block))
                    used[block["ids"] + self._schema.offsets] = True
                    rows.append(block["row"].tobytes())
            with open(path, "rb") as file:
                facts.bytes = os.path.getsize(path)
                facts.md5 = hashlib.file_digest(file, "md5").hexdigest()
                file.seek(0)
                put(file, shard_path(self._job.work, split, index))
            with open(path, "wb+") as file:
                file.write(b"".join(rows))
                file.seek(0)
                put(file, rows_path(self._job.work, split, index))
        yield facts
        yield beam.pvalue.TaggedOutput("used", np.packbits(used))

    def _example(self, values: dict[str, np.ndarray]) -> bytes:
        """As TFDS writes it, but for the order of its features, which differs from process to process."""
        text = self._serialize(self._encode(values))
        return tf.train.Example.FromString(text).SerializeToString(deterministic=True)


def union(packed: Iterable[np.ndarray]) -> np.ndarray:
    """The bits that are set in any."""
    return functools.reduce(np.bitwise_or, packed)


def shard_path(work: str, split: int, index: int) -> str:
    return FileSystems.join(work, f"shard-{split}-{index}")


def rows_path(work: str, split: int, index: int) -> str:
    return FileSystems.join(work, f"rows-{split}-{index}")


def open_part(path: str) -> Any:
    """A file of the work folder, to be read."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def put(file: Any, path: str) -> None:
    """Writes a file of the work folder, whole or not at all."""
    unfinished = f"{path}.{uuid.uuid4().hex}.tmp"
    with FileSystems.create(
        unfinished, "application/octet-stream", CompressionTypes.UNCOMPRESSED
    ) as to:
        shutil.copyfileobj(file, to, 1 << 20)
    FileSystems.rename([unfinished], [path])


def save_transform(transform: Transform, work: str) -> None:
    """Puts a transform where workers find it."""
    with tempfile.TemporaryDirectory() as folder:
        transform.save(folder)
        for path in pathlib.Path(folder).iterdir():
            with path.open("rb") as file:
                put(file, FileSystems.join(work, path.name))


def load_transform(work: str) -> Transform:
    """The transform in a work folder."""
    with tempfile.TemporaryDirectory() as folder:
        found = FileSystems.match([FileSystems.join(work, "transform.*")])[0].metadata_list
        for name in (FileSystems.split(one.path)[1] for one in found):
            if name.count(".") == 1:
                with (
                    open_part(FileSystems.join(work, name)) as file,
                    open(os.path.join(folder, name), "wb") as to,
                ):
                    shutil.copyfileobj(file, to, 1 << 20)
        return Transform.load(folder)
