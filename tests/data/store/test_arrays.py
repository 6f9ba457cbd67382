import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pep_tf.data import ArraySplit, CTRData, FeatureSchema, Identity, split_arrays
from pep_tf.data.dataset import check_data
from pep_tf.data.store.arrays import read_store, write_store
from pep_tf.data.store.splits import StoreSplit
from pep_tf.errors import DataError


def made_up(weighted=False):
    rng = np.random.default_rng(0)
    splits = []
    for first, count in ((0, 9000), (9000, 5), (9005, 7)):
        ids = rng.integers(0, 4, (count, 2))
        labels, numbers = rng.integers(0, 2, count), np.arange(first, first + count)
        weights = np.arange(count) % 3 + 1 if weighted else None
        splits.append(ArraySplit(ids, labels, numbers, weights=weights))
    schema = FeatureSchema.of({"a": 4, "b": 5})
    return CTRData("made-up", schema, *splits, details={"source": "x"})


@pytest.mark.parametrize("weighted", [False, True])
def test_round_trip_and_damage(weighted, tmp_path):
    data = made_up(weighted)
    folder = pathlib.Path(write_store(data, tmp_path)["folder"])
    back = read_store(folder)
    assert (back.name, back.schema, back.details["source"]) == ("made-up", data.schema, "x")
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(data, name), getattr(back, name)
        assert (ours.num_rows, ours.md5) == (theirs.num_rows, theirs.md5)
        for batch, stored in zip(ours.batches(512), theirs.batches(512), strict=True):
            assert len(batch) == len(stored) == 2 + weighted
            for part, kept in zip(batch, stored, strict=True):
                np.testing.assert_array_equal(part, kept)
    shard = next(folder.glob("*test.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[::-1])
    with pytest.raises(DataError, match=f"{shard.name}: damaged"):
        read_store(folder)


def rewritten(folder, change):
    """The manifest with another content."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["splits"]["test"])
    path.write_text(json.dumps(manifest))


def test_classes_come_from_the_manifest_without_a_pass(tmp_path, monkeypatch):
    folder = pathlib.Path(write_store(made_up(), tmp_path)["folder"])
    monkeypatch.setattr(StoreSplit, "batches", None)
    check_data(read_store(folder))
    rewritten(folder, lambda split: split.update(clicks=split["rows"]))
    with pytest.raises(DataError, match="`test` must hold rows of both classes.* 7 rows, all .* 1"):
        check_data(read_store(folder))


@pytest.mark.parametrize("label", [0, 1, None])
def test_a_store_of_before_class_counts(tmp_path, label, monkeypatch):
    data = made_up()
    if label is not None:
        data.test.labels[:] = label  # so as no store is written today
    folder = pathlib.Path(write_store(data, tmp_path)["folder"])
    rewritten(folder, lambda split: split.pop("clicks"))
    back = read_store(folder)
    if label is None:
        check_data(back)
    else:
        with pytest.raises(DataError, match=f"`test` must .* 7 rows, all labelled {label}"):
            check_data(back)


def test_a_store_of_one_class_is_not_written(tmp_path):
    data = made_up()
    zeros = ArraySplit(data.test.ids, np.zeros(7), np.arange(7))
    with pytest.raises(DataError, match="`test` must hold rows of both classes"):
        write_store(dataclasses.replace(data, test=zeros), tmp_path)
    assert not list(tmp_path.iterdir())


def rated(labels: np.ndarray, features: str = "paper", seed: int = 0) -> CTRData:
    ids = np.arange(90).reshape(30, 3) % 5
    schema = FeatureSchema.of({"a": 5, "b": 5, "c": 5})
    known = Identity(options={"features": features}, split={"split seed": seed}, source="ratings")
    return CTRData("made-up", schema, *split_arrays(ids, labels, seed), known=known)


def test_a_store_of_other_data_is_refused_then_replaced(tmp_path):
    labels = np.arange(30) % 2
    first = write_store(rated(labels), tmp_path)
    assert write_store(rated(labels), tmp_path) == first
    for other, told in (
        (rated(1 - labels), "data content: labels of ratings changed"),
        (rated(labels, seed=1), "split seed 0, here 1"),
        (rated(labels, features="with_ids"), "features paper, here with_ids"),
    ):
        with pytest.raises(DataError, match=f"another store: {told}.*--overwrite"):
            write_store(other, tmp_path)
    second = write_store(rated(1 - labels), tmp_path, overwrite=True)
    assert second["splits"]["train"]["rows_md5"] == first["splits"]["train"]["rows_md5"]
    assert second["files"] != first["files"]
    back = read_store(second["folder"])
    assert back.identity == Identity.from_config(second["identity"])
    assert back.identity.trained_otherwise(rated(labels).identity) is None
    assert not list(tmp_path.glob("**/.unfinished"))


def test_tfds_load_reads_it(tmp_path):
    write_store(rated(np.arange(30) % 2), tmp_path)
    (block,) = tfds.load("made_up_blocks", data_dir=str(tmp_path))["train"]
    assert len(block["label"]) == 24
