import dataclasses

import pytest

import pep_tf.data
from pep_tf.data import DATA_SETS, load
from pep_tf.data.data_set import DataSet
from pep_tf.errors import DataError


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match=r"'movielens', 'movielens-100k'.*'movielens-small'.*'ml'$"):
        load("ml")


def test_arguments_reach_the_loader(monkeypatch, tmp_path):
    asked = []
    both = ("paper", "all")
    found = DataSet(lambda **arguments: asked.append(arguments), both, options=("rows",))
    monkeypatch.setitem(DATA_SETS, "mine", found)
    load("mine", data_dir=str(tmp_path), features="all", seed=3, rows=5)
    load("mine")
    assert asked == [
        {"data_dir": tmp_path, "features": "all", "seed": 3, "rows": 5},
        {"data_dir": None, "features": "paper", "seed": 0},
    ]


def test_the_home_folder_is_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(DATA_SETS, "mine", DataSet(lambda **arguments: arguments["data_dir"]))
    assert load("mine", data_dir="~") == tmp_path


@pytest.mark.parametrize("dataset", ["movielens", "movielens-1m", "movielens-small"])
def test_a_missing_folder_is_an_error_not_a_fallback(dataset, tmp_path):
    with pytest.raises(DataError, match="`data_dir` must exist. Received: .*nowhere'"):
        load(dataset, data_dir=tmp_path / "nowhere")


@pytest.mark.parametrize("dataset", ["movielens", "movielens-1m", "movielens-small"])
def test_unknown_features_list_the_known_ones(dataset):
    with pytest.raises(DataError, match=r"\['paper', 'with_ids'\]. Received: 'ids'"):
        load(dataset, features="ids")


def test_a_negative_seed():
    with pytest.raises(DataError, match="`seed` must be at least 0. Received: -1"):
        load("movielens-small", seed=-1)


def test_loads_the_small_set():
    data = load("movielens-small", seed=1)
    assert (data.name, data.train.num_rows) == ("movielens-small", 63_952)
    assert data.train.md5 != load("movielens-small").train.md5
    assert dataclasses.is_dataclass(data)
    ids, labels = next(iter(data.validation.batches(32)))
    assert (ids.shape, labels.shape) == ((32, 5), (32,))


def test_public_names():
    for name in (
        "ArraySplit",
        "CTRData",
        "FeatureSchema",
        "Field",
        "Split",
        "load",
        "random_split",
    ):
        assert hasattr(pep_tf.data, name)
