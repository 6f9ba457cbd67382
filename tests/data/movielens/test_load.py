import numpy as np
import pytest

from pep_tf.data import load
from pep_tf.data.movielens import load as movielens
from pep_tf.data.movielens.forms import ONE_MILLION
from pep_tf.errors import DataError

# Split of seed 0 (numpy default_rng(0).permutation of 739,012 rows); md5 of the int64 row indices.
SPLIT_OF_SEED_0 = [
    (591_209, "24968081626182c8d48bc377dcb53da4"),
    (73_901, "8c4d65fc75f53d2f6e89af42900fbc77"),
    (73_902, "4d7d98cb50651694e1986832217fe4e3"),
]


def splits_of(data):
    return [(split.num_rows, split.md5) for split in (data.train, data.validation, data.test)]


@pytest.fixture(scope="module")
def paper(ml1m):
    return load("movielens", data_dir=ml1m)


def test_paper_features(paper):
    assert paper.name == "movielens-1m"
    sizes = dict(zip(paper.schema.names, paper.schema.sizes, strict=True))
    assert sizes == {
        "time_bucket": 278,
        "gender": 2,
        "age": 7,
        "occupation": 21,
        "zip": 3439,
        "year": 81,
        "genres": 301,
    }
    assert paper.schema.num_features == 4_129


def test_details_of_the_full_set(paper, ml1m):
    details = paper.details
    counts = {key: details[key] for key in ("rows_read", "rows_dropped", "rows")}
    assert counts == {"rows_read": 1_000_209, "rows_dropped": 261_197, "rows": 739_012}
    assert details["positive_rate"] == pytest.approx(0.7784, abs=5e-5)
    assert details["source"] == str(ml1m.resolve())
    assert details["features"] == "paper"
    assert details["files_md5"]["ratings.dat"] == "a89aa3591bc97d6d4e0c89459ff39362"
    assert "fallback" not in details


def test_split_of_seed_0(paper):
    assert splits_of(paper) == SPLIT_OF_SEED_0
    order = np.random.default_rng(0).permutation(739_012)
    assert (paper.train.ids.shape, paper.train.ids.dtype) == ((591_209, 7), np.int32)
    total = sum(split.labels.sum() for split in (paper.train, paper.validation, paper.test))
    assert total == round(paper.details["positive_rate"] * len(order))
    assert (paper.train.ids >= 0).all()
    assert (paper.train.ids < np.array(paper.schema.sizes)).all()


def test_ids_are_the_paper_features_after_user_and_movie(paper, ml1m):
    data = load("movielens-1m", data_dir=ml1m, features="with_ids")
    assert data.schema.names == ("user", "movie", *paper.schema.names)
    assert data.schema.sizes[:2] == (6_040, 3_668)
    assert data.schema.num_features == 13_837
    np.testing.assert_array_equal(data.test.ids[:, 2:], paper.test.ids)
    np.testing.assert_array_equal(data.test.labels, paper.test.labels)
    assert splits_of(data) == SPLIT_OF_SEED_0


def test_another_seed_is_another_split(paper, ml1m):
    other = load("movielens-1m", data_dir=ml1m, seed=1)
    assert all(
        a[0] == b[0] and a[1] != b[1]
        for a, b in zip(splits_of(other), SPLIT_OF_SEED_0, strict=True)
    )
    assert other.schema == paper.schema


@pytest.mark.parametrize("dataset", ["movielens", "movielens-1m"])
def test_damaged_files_are_an_error_not_a_fallback(dataset, folder, monkeypatch):
    monkeypatch.setattr(movielens, "read_tfds", lambda: pytest.fail("must not look at TFDS"))
    with pytest.raises(
        DataError, match="1,000,209 ratings of movielens-1m.*truncated.*Received: 378$"
    ):
        load(dataset, data_dir=folder)
    (folder / "users.dat").unlink()
    with pytest.raises(DataError, match="Missing: .*users.dat"):
        load(dataset, data_dir=folder)


@pytest.fixture
def no_tfds(monkeypatch):
    def refuse():
        raise DataError("no connection")

    monkeypatch.setattr(movielens, "read_tfds", refuse)


@pytest.mark.parametrize("features", ["paper", "with_ids"])
def test_falls_back_to_the_small_set_in_one_line(no_tfds, monkeypatch, features):
    lines = []
    monkeypatch.setattr(movielens.logging, "warning", lambda form, *args: lines.append(form % args))
    data = load("movielens", features=features)
    assert data.name == "movielens-small"
    assert data.details["fallback"] == lines[0]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    for part in (
        "NOT MovieLens-1M",
        "movielens-small (100,004 ratings",
        "(no connection)",
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "--data_dir=",
    ):
        assert part in lines[0]
    assert splits_of(data) == splits_of(load("movielens-small"))


def test_the_strict_name_has_no_fallback(no_tfds):
    with pytest.raises(DataError, match=r"movielens-1m must be given as files.*no connection"):
        load("movielens-1m")


@pytest.mark.parametrize("dataset", ["movielens", "movielens-1m"])
def test_the_copy_of_tfds_is_the_same_data(dataset, ml1m, paper, monkeypatch):
    frame, _ = ONE_MILLION.read(ml1m)
    monkeypatch.setattr(movielens, "read_tfds", lambda: (frame, "TFDS copy"))
    data = load(dataset)
    assert data.name == "movielens-1m"
    assert data.details["source"] == "TFDS copy"
    assert splits_of(data) == splits_of(paper)
    np.testing.assert_array_equal(data.validation.ids, paper.validation.ids)
