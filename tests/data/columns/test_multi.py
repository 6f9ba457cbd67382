"""Several values in a column become one field: a bag."""

import collections

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pep_tf.data import from_dataframe, from_files
from pep_tf.errors import DataError

GENRES = ["Drama", "Comedy|Drama", "", "War||Drama|War", None, "Comedy"]
IDS = [[3, 0, 0, 0], [2, 3, 0, 0], [0, 0, 0, 0], [4, 0, 3, 4], [0, 0, 0, 0], [2, 0, 0, 0]]


def films(genres=GENRES) -> pd.DataFrame:
    rows = 10 * len(genres)
    return pd.DataFrame(
        {"genres": genres * 10, "user": np.arange(rows) % 4, "clicked": np.arange(rows) // 3 % 2}
    )


def data_of(frame, kind="multi:|"):
    return from_dataframe(frame, "clicked", {"user": "vocabulary", "genres": kind})


def test_a_bag_has_a_column_for_each_value():
    frame = films()
    data = data_of(frame)
    bag = {"size": 2 + 3, "width": 4, "combiner": "mean"}
    assert data.schema.size_by_name == {"user": 6, "genres": bag}
    assert data.schema.column_fields.tolist() == [0, 1, 1, 1, 1]
    raw = {name: tf.constant([*texts]) for name, texts in data.transform.texts(frame).items()}
    ids = data.transform(raw).numpy()
    assert ids[:6, 1:].tolist() == IDS
    for split in data.splits.values():
        np.testing.assert_array_equal(split.ids, ids[split.row_numbers])
    assert data_of(frame, "multi:|:sum").schema.fields[1].combiner == "sum"


def test_lists_are_what_text_is(tmp_path):
    lists = [frozenset(["Drama"]), ("Comedy", "Drama"), [], ["War", None, "Drama", "War"], None]
    lists.append(collections.deque(["Comedy"]))
    texts, listed = data_of(films()), data_of(films(lists))
    assert texts.identity.difference(listed.identity) is None
    np.testing.assert_array_equal(texts.train.ids, listed.train.ids)
    films([x if x is None else list(x) for x in lists]).to_parquet(tmp_path / "films.parquet")
    features = {"user": "vocabulary", "genres": "multi:|"}
    stored = from_files(tmp_path / "films.parquet", "clicked", features)
    np.testing.assert_array_equal(stored.train.ids, listed.train.ids)


def test_requests():
    data = data_of(films())

    def genres(text):
        raw = {"user": tf.constant(["1"]), "genres": tf.constant([text])}
        return data.transform(raw).numpy()[0, 1:].tolist()

    assert genres("Western|Drama") == [1, 3, 0, 0]
    assert genres(b"\xff|Drama") == [1, 3, 0, 0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most .* and 4 values, with | be"):
        genres("a|b|c|d|e")


@pytest.mark.parametrize(
    ("genres", "message"),
    [
        ([["Drama"], ["a|b", "c"]], r"no value with its separator '\|' inside.*row 1"),
        ([["Drama"], [["b"]]], "`genres` must hold one value per row.*the list in row 1"),
        (["|", "||"] * 3, "`genres` must have two values or more"),
        (["a" * 1025, "b"] * 3, "`genres` must be text of at most"),
    ],
)
def test_bad_bags(genres, message):
    with pytest.raises(DataError, match=message):
        data_of(films(genres))


def test_values_may_be_hashed_or_limited():
    hashed = data_of(films(), "multi:|:sum:hash:1000")
    assert hashed.schema.size_by_name["genres"] == {"size": 1000, "width": 4, "combiner": "sum"}
    as_names = from_dataframe(
        films(["Drama", "Comedy"]), "clicked", {"user": "vocabulary", "genres": "hash:1000"}
    )
    drama = as_names.transform({"user": tf.constant(["1"]), "genres": tf.constant(["Drama"])})
    both = {"user": tf.constant(["1"] * 2), "genres": tf.constant(["Drama", "Opera|Drama"])}
    ids = hashed.transform(both).numpy()[:, 1:]
    assert ids[0].tolist() == [drama[0, 1], 0, 0, 0]
    assert ids[1, 0] > 0
    assert ids[1, 1:].tolist() == ids[0, :3].tolist()
    # Of the training rows Drama is in the most, War and Comedy in fewer.
    assert data_of(films(), "multi:|:max=1").transform(both).numpy()[:, 1:3].tolist() == [
        [2, 0],
        [1, 2],
    ]


@pytest.mark.parametrize("kind", ["multi", "multi:|:most", "multi:||", "multi:ab"])
def test_bad_declarations(kind):
    with pytest.raises(DataError, match="`genres` must be multi:SEPARATOR of one character"):
        data_of(films(), kind)
