"""From a raw file to a store and back, and what can go wrong on the way."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pep_tf.data import load
from pep_tf.data.clicklogs import ClickLogOptions, Transform, load_avazu, load_criteo
from pep_tf.data.clicklogs.formats import CRITEO
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.dataset import Split
from pep_tf.data.store import bins as bins_lib
from pep_tf.data.store import place
from pep_tf.errors import DataError
from tests.data.clicklogs.rows_for_tests import criteo_lines, write
from tests.data.clicklogs.test_transform import ids_of

LINES = criteo_lines(600)


@pytest.fixture
def raw(tmp_path: pathlib.Path) -> pathlib.Path:
    return write(tmp_path / "train.txt", LINES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("store")
    prepare("criteo", write(folder / "train.txt", LINES), folder / "out")
    return folder / "out"


def rows_of(split: Split) -> np.ndarray:
    """Rows, label first, sorted."""
    parts = [np.column_stack([y, x]) for x, y in split.batches(64).as_numpy_iterator()]
    rows = np.concatenate(parts).astype(np.int64)
    return rows[np.lexsort(rows.T)]


def test_every_row_is_in_one_split_with_its_label(store: pathlib.Path):
    data = load_criteo(store)
    assert load(str(store)).identity == data.identity  # any store is named by its folder
    folder = pathlib.Path(data.details["data_dir"])
    ids = ids_of(Transform.load(folder), CRITEO, LINES)
    expected = np.column_stack([[int(line[:1]) for line in LINES], ids])
    found = np.concatenate([rows_of(s) for s in (data.train, data.validation, data.test)])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
    assert 420 < data.train.num_rows < 540
    assert sum(s.num_rows for s in (data.train, data.validation, data.test)) == 600
    assert data.name == "criteo"


def test_raw_file_has_what_preparation_stores(store: pathlib.Path, raw: pathlib.Path):
    prepared, streamed = load_criteo(store), load_criteo(raw)
    assert prepared.schema == streamed.schema
    assert prepared.details["transform_md5"] == streamed.details["transform_md5"]
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(
            rows_of(getattr(prepared, name)), rows_of(getattr(streamed, name))
        )


def test_a_raw_file_that_memory_cannot_hold_is_refused(raw, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _: 300)
    with pytest.raises(DataError, match=r"train.txt: its rows take .*`pep-tf prepare criteo`"):
        load_criteo(raw)


def test_rows_are_the_same_whatever_workers_bins_and_gzip(tmp_path, store, monkeypatch):
    monkeypatch.setattr(bins_lib, "ROWS_PER_BIN", 100)
    packed = write(tmp_path / "train.txt.gz", LINES)
    many = prepare("criteo", packed, tmp_path / "many", workers=5)
    one = json.loads(next(store.glob("**/manifest.json")).read_text())
    for name, split in many["splits"].items():
        assert len(split["block_rows"]) > 1
        assert split["rows_md5"] == one["splits"][name]["rows_md5"]
        assert split["clicks"] == one["splits"][name]["clicks"]
    a, b = load_criteo(tmp_path / "many").train, load_criteo(store).train
    for x, y in zip(a.batches(50), b.batches(50), strict=True):
        np.testing.assert_array_equal(x[0], y[0])


def test_another_seed_splits_otherwise(tmp_path, raw, store):
    other = prepare("criteo", raw, tmp_path / "out", ClickLogOptions(seed=1))
    assert other["splits"]["train"]["rows_md5"] != load_criteo(store).train.md5


@pytest.mark.parametrize("count_on", ["train", "all"])
def test_vocabulary_keeps_what_is_frequent(tmp_path, raw, count_on: str):
    options = ClickLogOptions(encoding="vocabulary", min_count=12, count_on=count_on)
    prepare("criteo", raw, tmp_path / "out", options)
    data = load_criteo(tmp_path / "out")
    ids = rows_of(data.train)[:, 1:]
    if count_on == "all":
        ids = np.concatenate([rows_of(s)[:, 1:] for s in (data.train, data.validation, data.test)])
    c1 = data.schema.names.index("C1")
    counts = np.bincount(ids[:, c1], minlength=data.schema.sizes[c1])
    assert counts[1:].min() >= 12
    assert counts[0] > 0
    if count_on == "all":
        tokens = [line.split(b"\t")[14] for line in LINES]
        assert data.schema.sizes[c1] == 1 + sum(tokens.count(t) >= 12 for t in set(tokens))


def test_tfds_load_reads_a_store(store: pathlib.Path):
    data = tfds.load("criteo_kaggle", data_dir=str(store), split="train", download=False)
    assert sum(len(block["label"]) for block in data) == load_criteo(store).train.num_rows


def test_same_again_is_kept_and_other_options_need_overwrite(tmp_path, raw):
    first = prepare("criteo", raw, tmp_path / "out")
    stamp = (pathlib.Path(first["folder"]) / "manifest.json").stat().st_mtime_ns
    assert prepare("criteo", raw, tmp_path / "out") == first
    assert (pathlib.Path(first["folder"]) / "manifest.json").stat().st_mtime_ns == stamp
    with pytest.raises(DataError, match="another store: hash seed 0, here 5; split.*--overwrite"):
        prepare("criteo", raw, tmp_path / "out", ClickLogOptions(seed=5))
    second = prepare("criteo", raw, tmp_path / "out", ClickLogOptions(seed=5), overwrite=True)
    assert load_criteo(tmp_path / "out").train.md5 == second["splits"]["train"]["rows_md5"]


def test_damaged_stores_are_named(tmp_path, raw):
    folder = pathlib.Path(prepare("criteo", raw, tmp_path / "out")["folder"])
    shard = next(folder.glob("*train.tfrecord*"))
    content = shard.read_bytes()
    shard.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    with pytest.raises(DataError, match=f"{shard.name}: damaged"):
        load_criteo(tmp_path / "out")
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"{shard.name}: damaged"):
        load_criteo(tmp_path / "out", verify=False)
    shard.unlink()
    with pytest.raises(DataError, match=f"{shard.name}: missing"):
        load_criteo(tmp_path / "out")
    shard.write_bytes(content)
    with pytest.raises(DataError, match="holds 'criteo', 'avazu' was asked for"):
        load_avazu(tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    for change, reason in (
        ({"manifest_version": 0}, "`manifest_version` must be 1"),
        ({"version": "9.0.0"}, "Received: '9.0.0'"),
        ({"schema": manifest["schema"][1:]}, "do not belong together"),
    ):
        (folder / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(DataError, match=reason):
            load_criteo(tmp_path / "out")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="no prepared store"):
        load_criteo(tmp_path / "nothing")


def test_full_disk_leaves_the_earlier_store(tmp_path, raw, monkeypatch):
    prepare("criteo", raw, tmp_path / "out")
    before = load_criteo(tmp_path / "out").train.md5

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bins_lib.Bins, "write", full)
    with pytest.raises(DataError, match="the disk is full"):
        prepare("criteo", raw, tmp_path / "out", ClickLogOptions(seed=2), overwrite=True)
    assert load_criteo(tmp_path / "out").train.md5 == before
    assert not (tmp_path / "out" / ".unfinished").exists()


@pytest.mark.parametrize("cleared", [True, False])
def test_a_kill_while_a_store_is_replaced_leaves_the_earlier_one(
    tmp_path, raw, monkeypatch, cleared: bool
):
    """With `cleared` the process could clear up (Ctrl-C); else it was gone at once."""
    out = tmp_path / "out"
    prepare("criteo", raw, out)
    before = load_criteo(out).train.md5
    replace = os.replace

    def killed(source: pathlib.Path, target: pathlib.Path) -> None:
        if pathlib.Path(target) == out / "criteo_kaggle":
            monkeypatch.setattr(os, "replace", replace)
            if not cleared:
                monkeypatch.setattr(place, "_clear", lambda _: None)
            raise KeyboardInterrupt
        replace(source, target)

    clear = place._clear
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare("criteo", raw, out, ClickLogOptions(seed=2), overwrite=True)
    monkeypatch.setattr(place, "_clear", clear)
    if not cleared:
        with pytest.raises(DataError, match="no prepared store"):
            load_criteo(out)
        prepare("criteo", raw, out)  # finds the earlier store: nothing is made anew
    assert load_criteo(out).train.md5 == before
    assert not (out / ".unfinished").exists()


def test_too_little_room_is_told_before(tmp_path, raw, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match="GB are free"):
        prepare("criteo", raw, tmp_path / "out")


def test_killed_preparation_leaves_no_store(tmp_path):
    raw = write(tmp_path / "train.txt", LINES * 100)
    code = (
        "import time\n"
        "from pep_tf.data.clicklogs import prepare\n"
        "from pep_tf.data.store import deal, write\n"
        "finish = deal.SplitWriter.shard\n"
        "def slow(self):\n"
        "    yield from finish(self)\n"
        "    print('wrote', flush=True); time.sleep(60)\n"
        "deal.SplitWriter.shard = slow\n"
        f"import contextlib; write.quiet = contextlib.nullcontext\n"
        f"prepare.prepare('criteo', {str(raw)!r}, {str(tmp_path / 'out')!r})\n"
    )
    root = pathlib.Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stdout is not None
        while b"wrote" not in process.stdout.readline():
            assert process.poll() is None
        with pytest.raises(DataError, match="another preparation is writing"):
            prepare("criteo", raw, tmp_path / "out")
        process.send_signal(signal.SIGKILL)
    with pytest.raises(DataError, match="no prepared store"):
        load_criteo(tmp_path / "out")
    prepare("criteo", raw, tmp_path / "out")
    assert load_criteo(tmp_path / "out").details["lines"]["rows"] == 60_000
    assert not (tmp_path / "out" / ".unfinished").exists()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"encoding": "x"}, "`encoding` must be one of"),
        ({"min_count": 0}, "`min_count` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"min_count": "ten"}, "`min_count` must be a whole number"),
        ({"buckets": {"C3": "many"}}, "`buckets of C3` must be a whole number"),
        ({"min_count": 12}, "`min_count` has no effect with encoding=hash: it is for vocabulary"),
        ({"count_on": "all"}, "`count_on` has no effect with encoding=hash"),
        (
            {"encoding": "vocabulary", "buckets": {"C3": 9}},
            "`buckets` has no effect with encoding=vocabulary: it is for hash",
        ),
    ],
)
def test_options_are_checked(bad: dict, message: str):
    with pytest.raises(DataError, match=message):
        ClickLogOptions(**bad)


def test_arguments_are_checked(tmp_path, raw):
    with pytest.raises(DataError, match="`buckets` must name fields of criteo.*C99"):
        prepare("criteo", raw, tmp_path / "out", ClickLogOptions(buckets={"C99": 5}))
    with pytest.raises(DataError, match="`hour` has no effect on criteo"):
        prepare("criteo", raw, tmp_path / "out", ClickLogOptions(hour="parts"))
    large = {"C3": "2^31", "C4": 2**31 - 1}
    with pytest.raises(DataError, match="`buckets of C3` must be at most 2,147,483,647"):
        prepare("criteo", raw, tmp_path / "out", ClickLogOptions(buckets=large))
    with pytest.raises(DataError, match="`buckets` must be at most 2,147,483,647 in all"):
        prepare(
            "criteo", raw, tmp_path / "out", ClickLogOptions(buckets={**large, "C3": 2**31 - 1})
        )
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="`workers` must be at least 1"):
        prepare("criteo", raw, tmp_path / "out", workers=0)
    with pytest.raises(DataError, match="`dataset` must be one of"):
        prepare("uplift", raw, tmp_path / "out")
    with pytest.raises(DataError, match="cannot be read"):
        prepare("criteo", tmp_path / "none", tmp_path / "out")
