"""Stores by Apache Beam, in this process: what the one-host tool writes, and the same bytes each time."""

import json
import pathlib

import numpy as np
import pytest

pytest.importorskip("apache_beam", reason="needs an environment with requirements-beam.txt")

import tensorflow as tf

from pep_tf.data.clicklogs import load_avazu, load_criteo
from pep_tf.data.clicklogs.beam import ranges
from pep_tf.data.clicklogs.beam.prepare import prepare as prepare_by_beam
from pep_tf.data.clicklogs.beam.runners import IN_PROCESS
from pep_tf.data.clicklogs.build import ClickLogOptions
from pep_tf.data.clicklogs.formats import AVAZU
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.store import bins
from pep_tf.errors import DataError
from tests.data.clicklogs.rows_for_tests import avazu_lines, criteo_lines, write

# Beam warns of its own old ways.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Several ranges, and several bins a split, of a few hundred rows."""
    monkeypatch.setattr(ranges, "RANGE_BYTES", 9_001)
    monkeypatch.setattr(bins, "ROWS_PER_BIN", 150)


def records(path: pathlib.Path) -> list[tuple[bytes, bytes]]:
    found = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        assert sorted(feature) == ["ids", "label"]
        found.append(tuple(feature[name].bytes_list.value[0] for name in ("ids", "label")))
    return found


def contents(folder: str) -> dict[str, bytes]:
    """By name the files of a store, but for its stamps, whose times differ."""
    paths = pathlib.Path(folder).iterdir()
    return {p.name: p.read_bytes() for p in paths if p.name != ".stamps.json"}


CASES = {
    "criteo": (criteo_lines, ClickLogOptions(), load_criteo),
    "criteo-vocabulary": (criteo_lines, ClickLogOptions("vocabulary", min_count=2), load_criteo),
    "avazu": (avazu_lines, ClickLogOptions("vocabulary", min_count=3, hour="parts"), load_avazu),
    "avazu-skip": (avazu_lines, ClickLogOptions(seed=3, on_bad_row="skip"), load_avazu),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_one_host_tool(case, tmp_path):
    lines_of, options, load = CASES[case]
    dataset = case.split("-")[0]
    lines = [AVAZU.header_line] * (dataset == "avazu") + lines_of(400)
    if options.on_bad_row == "skip":
        lines[3:3] = [b"no,row", b""]
        lines[200] = lines[200].replace(b",", b";", 1)
    end = b"" if case == "criteo-vocabulary" else b"\n"  # of the last line
    raw = write(tmp_path / "raw.txt", [b"\n".join(lines) + end], b"")
    told = prepare(dataset, raw, tmp_path / "one", options)
    made = [
        prepare_by_beam(dataset, str(raw), tmp_path / name, options, runner=IN_PROCESS)
        for name in ("beam", "again")
    ]
    own, again = (contents(one["folder"]) for one in made)
    assert own == again
    assert not [name for name in own if "tmp" in name]
    assert len([name for name in own if "-train.tfrecord" in name]) > 2
    one = contents(told["folder"])
    assert own.keys() == one.keys()
    for name in one:
        if ".tfrecord" in name:
            paths = (pathlib.Path(x["folder"]) / name for x in (told, made[0]))
            assert records(next(paths)) == records(next(paths)), name
        elif name != "manifest.json":
            assert own[name] == one[name], name
    for facts in (told, made[0]):  # whose shards may have their features in another order
        facts.pop("folder")
        facts["files"] = {n: f["bytes"] for n, f in facts["files"].items()}
    assert json.dumps(made[0]) == json.dumps(told)
    batches = [
        list(load(tmp_path / name).train.batches(64, seed=1).as_numpy_iterator())
        for name in ("one", "beam")
    ]
    for (ids, labels), (own_ids, own_labels) in zip(*batches, strict=True):
        np.testing.assert_array_equal(ids, own_ids)
        np.testing.assert_array_equal(labels, own_labels)
    # Either tool finds the other's store.
    folder = pathlib.Path(again := made[1]["folder"]) / "manifest.json"
    before = folder.stat().st_mtime_ns
    assert prepare(dataset, raw, tmp_path / "again", options)["folder"] == again
    told = prepare_by_beam(dataset, str(raw), tmp_path / "one", options, runner=IN_PROCESS)
    assert (told["folder"].startswith(str(tmp_path / "one")), folder.stat().st_mtime_ns) == (
        True,
        before,
    )


def test_what_is_refused(tmp_path):
    def refused(path: pathlib.Path | str, words: str) -> None:
        with pytest.raises(DataError, match=words) as caught:
            prepare_by_beam(
                "criteo", str(path), tmp_path / "out", ClickLogOptions(), runner=IN_PROCESS
            )
        assert "while running" not in str(caught.value)
        assert not list((tmp_path / "out").glob("**/*.*record*"))

    lines = criteo_lines(90)
    lines[60] = b"1\t2"
    refused(
        write(tmp_path / "bad.txt", lines), "bad.txt, line 61: 2 columns, criteo has 40. To lea"
    )
    refused(write(tmp_path / "raw.txt.gz", lines), "gzip file cannot be read in ranges; unpack it")
    refused(tmp_path / "none.txt", "none.txt: cannot be read")
    refused(write(tmp_path / "avazu.txt", [AVAZU.header_line]), "line 1: .* avazu")
    refused(write(tmp_path / "few.txt", lines[:2]), "too few rows, a split would be empty")
    refused("nowhere://bucket/train.txt", "cannot be read")
