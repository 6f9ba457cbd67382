"""Preparation and streaming of click logs against the plain ways of doing it.

    python -m benchmarks.input_pipeline --rows=1000000 --encoding=hash

prints one JSON object, all of it measured in one run on synthetic rows of Criteo's shape:

- `prepare_rows_per_s`: raw text to a finished store (a process of its own; imports not counted).
- `prepare_loop_rows_per_s`: a plain Python loop over lines doing the same: split, transform, hash (to
  the same ids: the documented hash on Python's integers) or count and look up in dicts, assign to
  splits, shuffle, write packed rows. Half of it runs before the preparation and half after.
- `prepare_loop_crc32_rows_per_s`: the same loop with `zlib.crc32` for a hash, which is compiled and
  not seedable: the most that such a loop can do.
- `stream_rows_per_s`: shuffled batches from the store.
- `stream_example_rows_per_s`: the same rows as one `tf.train.Example` each, shuffled, parsed by batch.
- `prepare_peak_rss_mb`: peak resident memory of the preparing process.
"""

import collections
import json
import math
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence

import tensorflow as tf
from absl import logging

from pep_tf.command_line import Command
from pep_tf.data.clicklogs.build import ENCODINGS, ClickLogOptions
from pep_tf.data.clicklogs.formats import CRITEO, default_features
from pep_tf.data.clicklogs.load import load_criteo
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.synthetic import write_raw_text

_COMMAND = Command("benchmarks.input_pipeline", __doc__, least_level=logging.ERROR)
_ROWS = _COMMAND.whole("rows", 1_000_000, "synthetic rows", least=1000)
_ENCODING = _COMMAND.choice("encoding", "hash", ENCODINGS, "how features become ids")
_NUM_FEATURES = _COMMAND.whole("num_features", 2_000_000, "N of the synthetic rows", least=1)
_BATCH_SIZE = _COMMAND.whole("batch_size", 1024, "rows per batch", least=1)
_LOOP_ROWS = _COMMAND.whole("loop_rows", 50_000, "rows per run of the plain loop", least=1)
_DIR = _COMMAND.path("dir", None, "folder to work in", shown="a temporary one")
_PREPARE_ONLY = _COMMAND.text(
    "prepare_only", None, "for its own use: prepare and report", value="RAW,OUT"
)

_SIZES = [f.buckets for f in default_features(CRITEO)]
_INTEGERS = len(CRITEO.integers)


def _transform_line(line: str) -> tuple[int, list[str]]:
    label, *tokens = line.rstrip("\n").split("\t")
    for i in range(_INTEGERS):
        if tokens[i]:
            v = int(tokens[i])
            tokens[i] = str(int(math.log(v) ** 2) if v > 2 else v - 2)
    return int(label), tokens


def _lines(path: pathlib.Path, count: int) -> Iterator[str]:
    with open(path) as file:
        for _, line in zip(range(count), file, strict=False):
            yield line


def _fmix64(x: int) -> int:
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & _MASK
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return x ^ x >> 33


def _same_id(token: str, field: int, size: int) -> int:
    """The id of `HashEncoding` with seed 0 (tokens of at most 8 bytes)."""
    if not token:
        return 0
    number = field < _INTEGERS
    key = 2**32 + int(token) if number else int.from_bytes(token.encode(), "little")
    return 1 + ((_fmix64(key ^ _SALTS[field]) >> 32) * (size - 1) >> 32)


def _crc32_id(token: str, field: int, size: int) -> int:
    return 1 + zlib.crc32(token.encode(), field) % (size - 1) if token else 0


def mapped_rows(path: pathlib.Path, count: int, encoding: str) -> Iterator[tuple[int, list[int]]]:
    """(label, ids) of the first `count` rows; `encoding` is `hash`, `crc32` or `vocabulary`."""
    if encoding in _HASHES:
        id_of = _HASHES[encoding]
        for line in _lines(path, count):
            label, tokens = _transform_line(line)
            ids = [
                id_of(token, field, size)
                for field, (token, size) in enumerate(zip(tokens, _SIZES, strict=True))
            ]
            yield label, ids
        return
    counts: list[collections.Counter[str]] = [collections.Counter() for _ in _SIZES]
    for line in _lines(path, count):
        for counter, token in zip(counts, _transform_line(line)[1], strict=True):
            counter[token] += 1
    kept = [
        {t: i for i, t in enumerate((t for t, n in c.items() if n >= 10), start=1)} for c in counts
    ]
    for line in _lines(path, count):
        label, tokens = _transform_line(line)
        yield label, [ids.get(t, 0) for ids, t in zip(kept, tokens, strict=True)]


_MASK = 2**64 - 1
_SALTS = [_fmix64(field + 1) for field in range(len(_SIZES))]
_HASHES = {"hash": _same_id, "crc32": _crc32_id}


def plain_loop(path: pathlib.Path, out: pathlib.Path, count: int, encoding: str) -> float:
    """Seconds that a plain Python loop takes for the first `count` rows."""
    start = time.perf_counter()
    pack = struct.Struct(f"<{len(_SIZES) + 1}i").pack
    splits: list[list[bytes]] = [[], [], []]
    for row, (label, ids) in enumerate(mapped_rows(path, count, encoding)):
        u = zlib.crc32(row.to_bytes(8, "little")) / 2**32
        splits[(u >= 0.8) + (u >= 0.9)].append(pack(label, *ids))
    for index, rows in enumerate(splits):
        random.Random(index).shuffle(rows)
        (out / f"loop-{index}.bin").write_bytes(b"".join(rows))
    return time.perf_counter() - start


def _prepare_alone(raw: pathlib.Path, out: pathlib.Path, encoding: str) -> dict[str, float]:
    """Prepares in a process of its own, whose peak memory is then the preparation's."""
    command = [sys.executable, "-m", "benchmarks.input_pipeline"]
    command += [f"--prepare_only={raw},{out}", f"--encoding={encoding}"]
    root = pathlib.Path(__file__).resolve().parents[1]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=root)
    return json.loads(done.stdout.splitlines()[-1])


def _prepare_and_report(raw: str, out: str, encoding: str) -> None:
    start = time.perf_counter()
    prepare("criteo", raw, out, ClickLogOptions(encoding=encoding))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_rss_mb": peak}))


def stream_rate(batches: tf.data.Dataset) -> float:
    """Rows a second, from the first batch asked for to the last."""
    start, rows = time.perf_counter(), 0
    for _, labels in batches:
        rows += len(labels)
    return rows / (time.perf_counter() - start)


def write_examples(batches: tf.data.Dataset, path: pathlib.Path, count: int) -> None:
    """Writes one `tf.train.Example` a row."""
    feature, int64s = tf.train.Feature, tf.train.Int64List
    with tf.io.TFRecordWriter(str(path)) as writer:
        written = 0
        for ids, labels in batches.as_numpy_iterator():
            for row, label in zip(ids, labels, strict=True):
                fields = {
                    "ids": feature(int64_list=int64s(value=row)),
                    "label": feature(int64_list=int64s(value=[int(label)])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=fields))
                writer.write(example.SerializeToString())
            written += len(labels)
            if written >= count:
                return


def example_batches(path: pathlib.Path, batch_size: int) -> tf.data.Dataset:
    """Shuffled batches of what `write_examples` wrote, parsed a batch at a time."""
    spec = {
        "ids": tf.io.FixedLenFeature([len(_SIZES)], tf.int64),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, spec)
        return tf.cast(parsed["ids"], tf.int32), tf.cast(parsed["label"], tf.float32)

    records = tf.data.TFRecordDataset(str(path), buffer_size=4 << 20)
    shuffled = records.shuffle(50_000, seed=0).batch(batch_size)
    return shuffled.map(parse, num_parallel_calls=2).prefetch(8)


def measure(folder: pathlib.Path) -> dict[str, float | int | str]:
    """Runs everything in `folder`."""
    raw, store, encoding = folder / "synthetic.txt", folder / "store", _ENCODING.value
    write_raw_text(raw, "criteo", rows=_ROWS.value, num_features=_NUM_FEATURES.value)
    loop_rows = min(_LOOP_ROWS.value, _ROWS.value)
    loops = [encoding, "crc32"] if encoding == "hash" else [encoding]
    seconds = {name: plain_loop(raw, folder, loop_rows, name) for name in loops}
    prepared = _prepare_alone(raw, store, encoding)
    for name in loops:
        seconds[name] += plain_loop(raw, folder, loop_rows, name)
    train = load_criteo(store).train
    examples = folder / "examples.tfrecord"
    count = min(200_000, train.num_rows)
    write_examples(train.batches(_BATCH_SIZE.value), examples, count)
    stream = stream_rate(train.batches(_BATCH_SIZE.value, seed=0))
    by_example = stream_rate(example_batches(examples, _BATCH_SIZE.value))
    result: dict[str, float | int | str] = {
        "data": "synthetic-criteo",
        "rows": _ROWS.value,
        "encoding": encoding,
        "prepare_rows_per_s": round(_ROWS.value / prepared["seconds"]),
        "prepare_loop_rows_per_s": round(2 * loop_rows / seconds[encoding]),
        "stream_rows_per_s": round(stream),
        "stream_example_rows_per_s": round(by_example),
        "prepare_peak_rss_mb": round(prepared["peak_rss_mb"]),
    }
    if encoding == "hash":
        result["prepare_loop_crc32_rows_per_s"] = round(2 * loop_rows / seconds["crc32"])
    return result


def _run(_: list[str]) -> None:
    if _PREPARE_ONLY.value:
        raw, out = _PREPARE_ONLY.value.split(",")
        _prepare_and_report(raw, out, _ENCODING.value)
        return
    with tempfile.TemporaryDirectory(dir=_DIR.value) as folder:
        print(json.dumps(measure(pathlib.Path(folder))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return _COMMAND.run(_run, arguments)


if __name__ == "__main__":
    sys.exit(main())
