"""Stores and raw files are told apart by what they hold, not by their names."""

import gzip
import json
import os
import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds

from pep_tf.data import load
from pep_tf.data.clicklogs import ClickLogOptions, content, load_avazu, load_criteo
from pep_tf.data.clicklogs.formats import AVAZU
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.store import manifest
from pep_tf.errors import DataError
from tests.data.clicklogs.rows_for_tests import avazu_lines, criteo_lines, write

CRITEO_LINES = criteo_lines(200)
AVAZU_LINES = [AVAZU.header_line, *avazu_lines(200)]


def flipped(lines: list[bytes], column: int, delimiter: bytes) -> list[bytes]:
    """The same lines, as many bytes, with the labels of the last 50 flipped."""
    changed = []
    for number, line in enumerate(lines):
        parts = line.split(delimiter)
        if number >= len(lines) - 50:
            parts[column] = b"%d" % (1 - int(parts[column]))
        changed.append(delimiter.join(parts))
    return changed


DATA_SETS = {
    "criteo": ("train.txt", CRITEO_LINES, flipped(CRITEO_LINES, 0, b"\t"), load_criteo),
    "avazu": ("train.csv", AVAZU_LINES, flipped(AVAZU_LINES, 1, b","), load_avazu),
}


@pytest.mark.parametrize("dataset", DATA_SETS)
@pytest.mark.parametrize("encoding", ["hash", "vocabulary"])
def test_a_store_of_other_content_is_refused_then_replaced(tmp_path, dataset: str, encoding: str):
    name, lines, others, loader = DATA_SETS[dataset]
    raw, out = tmp_path / name, tmp_path / "out"
    options = ClickLogOptions(encoding=encoding)
    first = prepare(dataset, write(raw, lines), out, options)
    bytes_before = raw.stat().st_size
    write(raw, others)
    assert raw.stat().st_size == bytes_before
    with pytest.raises(DataError, match=f"another store: data content: labels of {name} changed"):
        prepare(dataset, raw, out, options)
    clicks = {name: split["clicks"] for name, split in first["splits"].items()}
    assert clicks == {n: s["clicks"] for n, s in prepare_again(dataset, raw, out, lines, options)}
    write(raw, others)
    second = prepare(dataset, raw, out, options, overwrite=True)
    assert {n: s["clicks"] for n, s in second["splits"].items()} != clicks
    assert loader(out).identity.difference(loader(raw, encoding=encoding).identity) == (
        "read from prepared store, here memory"
    )


def prepare_again(dataset, raw, out, lines, options):
    """What comes back once the raw file holds the first lines again."""
    return prepare(dataset, write(raw, lines), out, options)["splits"].items()


def test_features_rows_and_bad_rows_that_changed(tmp_path):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    prepare("criteo", raw, out)
    write(raw, [*CRITEO_LINES[:-1], CRITEO_LINES[-1][:-1] + b"0"])
    with pytest.raises(DataError, match="data content: features of train.txt changed"):
        prepare("criteo", raw, out)
    write(raw, CRITEO_LINES[:-1])
    with pytest.raises(DataError, match="data content: rows 200, here 199"):
        prepare("criteo", raw, out)
    write(raw, [*CRITEO_LINES[:-1], b"7" + CRITEO_LINES[-1][1:]])
    with pytest.raises(DataError, match="train.txt, line 200: label"):
        prepare("criteo", raw, out)


def test_the_same_content_under_another_name_and_packed_is_the_same(tmp_path):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    first = prepare("criteo", raw, out)
    (tmp_path / "other.gz").write_bytes(gzip.compress(raw.read_bytes()))
    assert prepare("criteo", tmp_path / "other.gz", out) == first
    assert prepare("criteo", shutil.copy(raw, tmp_path / "copy.txt"), out) == first


def test_a_file_is_hashed_again_only_when_its_stamp_changed_or_to_verify(tmp_path, monkeypatch):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    hashed: list[str] = []
    text_digest, file_md5 = content.text_digest, manifest.file_md5
    monkeypatch.setattr(
        content,
        "text_digest",
        lambda path, fmt: (hashed.append(path.name), text_digest(path, fmt))[1],
    )
    monkeypatch.setattr(
        manifest, "file_md5", lambda path: (hashed.append(path.name), file_md5(path))[1]
    )
    prepare("criteo", raw, out)
    assert "train.txt" not in hashed  # it was hashed in the pass that read it
    hashed.clear()
    prepare("criteo", raw, out)
    load_criteo(out)
    assert hashed == []
    prepare("criteo", raw, out, verify=True)
    assert len(hashed) == 5  # the raw file, three shards, the transform
    hashed.clear()
    load("criteo", data_dir=out, verify=True)
    assert len(hashed) == 4
    hashed.clear()
    os.utime(raw)
    shard = next(out.glob("**/*train.tfrecord*"))
    shutil.copy(shard, tmp_path / "copy")
    os.replace(tmp_path / "copy", shard)  # another inode
    prepare("criteo", raw, out)
    assert sorted(hashed) == [shard.name, "train.txt"]
    hashed.clear()
    prepare("criteo", raw, out)
    assert hashed == []


def test_a_store_that_cannot_be_written_is_hashed_each_time(tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare("criteo", write(tmp_path / "train.txt", CRITEO_LINES), out)
    next(out.glob("**/.stamps.json")).unlink()

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(manifest, "_write", refused)
    assert load_criteo(out).train.num_rows
    assert not list(out.glob("**/.stamps.json"))


def test_a_change_that_keeps_size_and_time_needs_verify_or_is_seen_by_its_inode(tmp_path):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    prepare("criteo", raw, out)
    times = raw.stat()
    write(raw, flipped(CRITEO_LINES, 0, b"\t"))
    os.utime(raw, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time of change stays behind
    with pytest.raises(DataError, match="labels of train.txt changed"):
        prepare("criteo", raw, out)


def test_a_store_of_an_earlier_version_names_it(tmp_path):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    path = pathlib.Path(prepare("criteo", raw, out)["folder"]) / "manifest.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps({**before, "version": "1.0.0"}))
    for read in (lambda: load_criteo(out), lambda: prepare("criteo", raw, out)):
        with pytest.raises(DataError, match="`version` of the store must be 1.1.0.*'1.0.0'"):
            read()
    assert prepare("criteo", raw, out, overwrite=True)["identity"] == before["identity"]


def test_a_store_below_a_config_as_it_once_was_is_found_and_replaced(tmp_path):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    folder = pathlib.Path(prepare("criteo", raw, out)["folder"])
    below = folder.parent / "hash" / folder.name
    below.parent.mkdir()
    folder.rename(below)
    assert load_criteo(out).details["data_dir"] == str(below)
    assert prepare("criteo", raw, out)["folder"] == str(below)
    assert prepare("criteo", raw, out, overwrite=True)["folder"] == str(folder)
    assert not below.exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"hour": "parts"}, "hour raw, here parts"),
        ({"hour": "nonsense"}, "`hour` must be 'raw' or 'parts'"),
        ({"on_bad_row": "skip"}, "on_bad_row error, here skip"),
        ({"on_bad_row": "nonsense"}, "`on_bad_row` must be one of"),
        ({"seed": 1}, "hash seed 0, here 1; split seed 0, here 1"),
        ({"buckets": {"C14": 50}}, "buckets of C14 16384, here 50"),
        ({"buckets": {"C99": 50}}, "`buckets` must name fields of avazu"),
        ({"encoding": "vocabulary"}, "encoding hash, here vocabulary"),
        ({"encoding": "nonsense"}, "`encoding` must be one of"),
        ({"min_count": 3}, "min_count"),
        ({"count_on": "all"}, "count_on"),
    ],
)
def test_options_that_a_store_was_not_made_with_are_refused(avazu_store, given: dict, told: str):
    with pytest.raises(DataError, match=told):
        load_avazu(avazu_store, **given)


def test_options_that_a_store_was_made_with_are_taken(avazu_store):
    made = {"hour": "raw", "on_bad_row": "error", "seed": 0, "encoding": "hash"}
    data = load_avazu(avazu_store, buckets={"C14": 16384}, **made)
    assert data.identity == load_avazu(avazu_store).identity
    assert load("avazu", data_dir=avazu_store, hour="raw").identity == data.identity
    for options in ({"hour": "parts"}, {"on_bad_row": "nonsense"}, {"seed": 1}):
        with pytest.raises(DataError, match="parts|nonsense|here 1"):
            load("avazu", data_dir=avazu_store, **options)


@pytest.fixture(scope="module")
def avazu_store(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("avazu")
    prepare("avazu", write(folder / "train.csv", AVAZU_LINES), folder / "out")
    return folder / "out"


def test_a_vocabulary_store_has_options_of_its_own(tmp_path):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    prepare("criteo", raw, out, ClickLogOptions(encoding="vocabulary", min_count=3, seed=2))
    assert load_criteo(out, seed=2, min_count=3, encoding="vocabulary").train.num_rows
    for given, told in (
        ({"min_count": 4}, "min_count 3, here 4"),
        ({"seed": 0}, "made with split seed 2, here 0"),
        ({"buckets": {"C3": 9}}, "buckets"),
    ):
        with pytest.raises(DataError, match=told):
            load_criteo(out, **given)
    assert load_criteo(raw, seed=2, min_count=3, encoding="vocabulary").schema == (
        load_criteo(out).schema
    )


@pytest.mark.parametrize(
    "options",
    [
        ClickLogOptions(),
        ClickLogOptions(encoding="vocabulary"),
        ClickLogOptions(seed=1),
        ClickLogOptions(encoding="vocabulary", min_count=2, seed=7),
    ],
)
def test_tfds_load_reads_any_store(tmp_path, options: ClickLogOptions):
    prepare("criteo", write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out", options)
    found = tfds.load("criteo_kaggle", data_dir=str(tmp_path / "out"), split="train")
    rows = sum(len(block["label"]) for block in found)
    assert rows == load_criteo(tmp_path / "out").train.num_rows


def test_tfds_load_reads_a_store_that_replaced_another(tmp_path):
    raw, out = write(tmp_path / "train.txt", CRITEO_LINES), tmp_path / "out"
    for options in (ClickLogOptions(seed=1), ClickLogOptions(encoding="vocabulary")):
        prepare("criteo", raw, out, options, overwrite=True)
    assert tfds.load("criteo_kaggle", data_dir=str(out))["test"].cardinality() > 0


def test_a_raw_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    raw = write(tmp_path / "train.txt", CRITEO_LINES)
    digests = content.ContentDigest.digests

    def changed(self):
        write(raw, flipped(CRITEO_LINES, 0, b"\t"))
        return digests(self)

    monkeypatch.setattr(content.ContentDigest, "digests", changed)
    for read in (lambda: load_criteo(raw), lambda: prepare("criteo", raw, tmp_path / "out")):
        write(raw, CRITEO_LINES)
        with pytest.raises(DataError, match="has changed since it was read"):
            read()


def test_spellings_of_a_path(tmp_path, monkeypatch):
    write(tmp_path / "train.txt", CRITEO_LINES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    first = prepare("criteo", "~/train.txt", "~/out")
    assert prepare("criteo", "train.txt", "out") == first
    assert not (tmp_path / "~").exists()
    assert load_criteo("~/out").details == load_criteo("out").details
    assert (
        load_criteo("~/train.txt").details
        == load_criteo("../" + tmp_path.name + "/train.txt").details
    )
