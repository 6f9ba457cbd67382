"""MovieLens-1M from the store that `data_prep.movielens.prepare` writes, of rows that are few."""

import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pep_tf.data import load
from pep_tf.data.datasets import has_own_split
from pep_tf.data.movielens import FEATURES
from pep_tf.data.movielens.paper import rated_data
from pep_tf.data.store.arrays import write_store
from pep_tf.errors import DataError
from pep_tf.experiments.load_data import load_for_seed

RAW = {"gender": ["F", "M"], "age": [1, 56], "occupation": [3, 0], "zip": ["02139", "9"]}
RAW |= {"year": [1995, -1], "genres": ["Drama", "never seen"], "timestamp": [978300760, -1]}


def rated(features: str = "paper", seed: int = 3):
    rng = np.random.default_rng(0)
    values = {"gender": ["F", "M"], "zip": ["02139", "55455-1"], "genres": ["Drama", "War|Comedy"]}
    frame = pd.DataFrame(
        {
            **{name: rng.choice(kinds, 60) for name, kinds in values.items()},
            **{name: rng.integers(1, 6, 60) for name in ("user", "movie", "rating", "occupation")},
            "age": rng.choice([1, 18, 56], 60),
            "year": rng.choice([1994, 1995], 60),
            "timestamp": 978300760 + rng.integers(0, 10**6, 60),
        }
    )
    details = {"source": "ml-1m", "features": features}
    fields = FEATURES[features]
    return rated_data(frame, fields, name="movielens-1m", seed=seed, details=details)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("store")
    write_store(rated(), out)
    return out


@pytest.fixture
def store(written, tmp_path):
    return shutil.copytree(written, tmp_path / "store")


@pytest.mark.parametrize("dataset", ["movielens", "movielens-1m"])
def test_it_is_the_same_data(written, dataset):
    found, made = load(dataset, data_dir=written), rated()
    assert (found.name, found.schema) == ("movielens-1m", made.schema)
    assert [s.md5 for s in found.splits.values()] == [s.md5 for s in made.splits.values()]
    for part in ("content", "mapping", "split"):
        assert getattr(found.identity, part) == getattr(made.identity, part)
    for (ids, labels), (own_ids, own_labels) in zip(
        found.train.batches(7), made.train.batches(7), strict=True
    ):
        np.testing.assert_array_equal(ids, own_ids)
        np.testing.assert_array_equal(labels, own_labels)


def test_requests_of_raw_features_get_the_same_ids(written):
    raw = {name: tf.constant(own) for name, own in RAW.items()}
    raw = {n: v if v.dtype == tf.string else tf.cast(v, tf.int64) for n, v in raw.items()}
    transform, made = load("movielens", data_dir=written).transform, rated().transform
    assert transform.raw_columns() == made.raw_columns()
    np.testing.assert_array_equal(transform(raw), made(raw))


def test_a_run_of_any_seed_takes_its_split(written, tmp_path):
    assert has_own_split("movielens", written)
    assert not has_own_split("movielens", tmp_path)
    data = load_for_seed("movielens", data_dir=written, features="paper", seed=8)
    assert data.identity.split == {"split seed": 3}
    with pytest.raises(DataError, match="the store was made with split seed 3, here 8"):
        load("movielens", data_dir=written, seed=8)


def test_original_files_go_before_a_store_below_them(written, tmp_path):
    shutil.copytree(written, tmp_path / "store")
    (tmp_path / "ratings.dat").touch()
    assert not has_own_split("movielens", tmp_path)
    with pytest.raises(DataError, match="Missing: users.dat, movies.dat"):
        load("movielens", data_dir=tmp_path)


def test_other_features_are_refused(written):
    with pytest.raises(DataError, match="made with features paper, here with_ids. Leave that out"):
        load("movielens", data_dir=written, features="with_ids")


def test_damage_has_a_name(store):
    folder = next(store.glob("**/manifest.json")).parent
    shard = next(folder.glob("*test.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[::-1])
    with pytest.raises(DataError, match=f"{shard.name}: damaged"):
        load("movielens", data_dir=store)


def rewritten(store: pathlib.Path, change) -> None:
    """The manifest with another content."""
    path = next(store.glob("**/manifest.json"))
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_store_of_other_data(store):
    rewritten(store, lambda manifest: manifest.update(dataset="criteo"))
    with pytest.raises(DataError, match="holds 'criteo', 'movielens-1m' was asked for"):
        load("movielens", data_dir=store)


def test_a_store_of_a_version_that_kept_no_transform(store):
    rewritten(store, lambda manifest: manifest["files"].pop("transform.json"))
    next(store.glob("**/transform.json")).unlink()
    with pytest.raises(DataError, match="transform.json: no such file; prepare .* --overwrite"):
        load("movielens", data_dir=store)


def test_a_transform_that_belongs_to_other_data(store):
    path = next(store.glob("**/transform.json"))
    values, first = json.loads(path.read_text())
    rewritten(store, lambda manifest: manifest["files"].pop("transform.json"))
    path.write_text(json.dumps([values, first + 1]))
    with pytest.raises(DataError, match="transform and the manifest do not belong together"):
        load("movielens", data_dir=store)
    path.write_text("[1]")
    with pytest.raises(DataError, match="transform.json is damaged"):
        load("movielens", data_dir=store)
