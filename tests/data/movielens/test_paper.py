import numpy as np
import pandas as pd
import pytest

from pep_tf.data.movielens.paper import encode, rated_data, time_bucket
from pep_tf.errors import DataError


def test_time_bucket_by_hand():
    seconds = np.array([0, 1, 2, 3, 4, 10, 100, 100_000])
    # ln 3 = 1.0986, 1.207; ln 4 = 1.3863, 1.92; ln 10 = 2.3026, 5.30; ln 100 = 4.6052, 21.2;
    # ln 100,000 = 11.5129, 132.5
    assert time_bucket(978_000_000 + seconds).tolist() == [-2, -1, 0, 1, 1, 5, 21, 132]


def test_ids_are_places_in_the_sorted_vocabulary():
    frame = pd.DataFrame({"zip": ["9", "10", "9"], "age": [25, 1, 18], "other": [0, 0, 0]})
    ids, vocabularies = encode(frame, ("age", "zip"))
    assert ids.tolist() == [[2, 1], [0, 0], [1, 1]]
    assert ids.dtype == np.int32
    assert {name: values.tolist() for name, values in vocabularies.items()} == {
        "age": [1, 18, 25],
        "zip": ["10", "9"],
    }


def test_categories_that_do_not_occur_are_no_features():
    column = pd.Categorical(["c", "a"], categories=["a", "b", "c"])
    ids, vocabularies = encode(pd.DataFrame({"x": column}), ("x",))
    assert ids.tolist() == [[1], [0]]
    assert vocabularies["x"].tolist() == ["a", "c"]


@pytest.fixture
def rated():
    """Ten kept ratings of movies 20-29; the rating of exactly 3 is the earliest, of movie 30."""
    ratings = [0.5, 2, 2.5, 3.5, 4, 5, 1, 4.5, 3.5, 5, 3]
    return pd.DataFrame(
        {
            "movie": range(20, 31),
            "rating": ratings,
            "timestamp": [1000 + i for i in range(10)] + [990],
        }
    )


def test_labels_drops_and_counts(rated):
    data = rated_data(rated, ("movie",), name="x", seed=0, details={"source": "here"})
    splits = (data.train, data.validation, data.test)
    labels = {
        int(movie): int(label)
        for split in splits
        for movie, label in zip(split.ids[:, 0], split.labels, strict=True)
    }
    assert [labels[i] for i in range(10)] == [0, 0, 0, 1, 1, 1, 0, 1, 1, 1]
    assert [split.num_rows for split in splits] == [8, 1, 1]
    assert data.name == "x"
    assert data.details == {
        "source": "here",
        "fields": ["movie"],
        "rows_read": 11,
        "rows_dropped": 1,
        "rows": 10,
        "positive_rate": 0.6,
        "split_seed": 0,
    }


def test_dropped_rows_count_for_the_start_of_time_but_not_for_vocabularies(rated):
    data = rated_data(rated, ("time_bucket", "movie"), name="x", seed=0, details={})
    # v = 10 ... 19: int(ln(v)**2) = 5 5 6 6 6 7 7 8 8 8; were movie 30 ignored, v = 0 ... 9.
    assert data.schema.sizes == (4, 10)


def test_too_few_rows(rated):
    with pytest.raises(DataError, match=r"at least 10 ratings.*Received: 9 of 9, from here"):
        rated_data(rated[:9], ("movie",), name="x", seed=0, details={"source": "here"})
