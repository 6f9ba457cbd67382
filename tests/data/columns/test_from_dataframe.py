"""A table of one's own: ids by kind, labels, and what is refused before anything trains."""

import math

import numpy as np
import pandas as pd
import pytest

import pep_tf
from pep_tf.data import from_dataframe
from pep_tf.data.clicklogs.encoding import HashEncoding
from pep_tf.data.clicklogs.keys import keys_of_texts
from pep_tf.data.columns import learn
from pep_tf.errors import DataError
from tests.data.columns.clicks import FEATURES, clicks


def all_ids(data, rows: int) -> np.ndarray:
    """The ids of all rows in the order of the table."""
    ids = np.full((rows, len(data.schema.column_fields)), -1, np.int32)
    for split in data.splits.values():
        ids[np.frombuffer(split.row_numbers.tobytes(), "<i8")] = split.ids
    return ids


def ids_of(values: list, kind: str) -> list[int]:
    """The ids of a column whose values occur equally often in the training rows, in its order."""
    times = 10
    frame = pd.DataFrame({"x": pd.Series(values * times, dtype=object)})
    turn = np.repeat(np.arange(times), len(values))
    frame["clicked"] = (np.arange(len(frame)) + turn) % 2
    names = np.array(["train"] * 8 + ["validation", "test"])[turn]
    data = from_dataframe(frame, "clicked", {"x": kind}, split=names)
    return all_ids(data, len(frame))[: len(values), 0].tolist()


def test_a_vocabulary_numbers_the_texts_of_the_training_rows():
    assert ids_of(["b", "a", None, "c", ""], "vocabulary") == [3, 2, 0, 4, 0]
    assert ids_of([5, 5.0, None, -0.0, 0], "vocabulary") == [3, 3, 0, 2, 2]


def test_a_vocabulary_has_limits(monkeypatch):
    values = ["a", "b", "b", "c", "c", "c", None]
    assert ids_of(values, "vocabulary:min=16") == [1, 2, 2, 3, 3, 3, 0]
    assert ids_of(values, "vocabulary:max=1") == [1, 1, 1, 2, 2, 2, 0]
    assert ids_of(["b", "a", "c", None], "vocabulary:max=2") == [3, 2, 1, 0]
    monkeypatch.setattr(learn, "MAX_TEXTS", 3)
    with pytest.raises(
        DataError, match="`x` must have at most 3 different values.*declare it hash:N"
    ):
        ids_of(values, "vocabulary")


def test_a_value_of_no_training_row_is_id_1():
    frame = clicks().sort_values("time", ignore_index=True)
    frame.loc[190:, "user"] = 99
    frame.loc[190:, "views"] = 10**15 - 1
    data = from_dataframe(frame, "clicked", FEATURES, split="time:time")
    assert (data.test.ids[10:, [0, 2]] == 1).all()
    assert data.schema.size_by_name["user"] == 2 + 9
    assert (data.test.ids[10:, [1, 3, 4, 5]] != 0).all()


def test_the_hash_is_that_of_the_click_logs():
    texts = ["tea", "coffee", "a text of exactly thirty-two byte"[:32]]
    keys = keys_of_texts("category", np.array([texts]).T).numpy()
    assert ids_of(texts, "hash:1000") == HashEncoding((1000,)).ids(keys)[:, 0].tolist()
    long = ["x" * 33, "x" * 34, "x" * 1024, None]
    ids = ids_of(long, "hash:1000000")
    assert len(set(ids)) == 4
    assert ids[3] == 0


def test_integers_go_by_criteos_logarithm():
    values = [-2, 0, 2, 3, 1000, "5.0", None]
    keys = [-4, -2, 0, int(math.log(3) ** 2), int(math.log(1000) ** 2), int(math.log(5) ** 2)]
    expected = [2 + sorted(set(keys)).index(key) for key in keys]
    assert ids_of(values, "integer") == [*expected, 0]


def test_bins_hold_equally_many_training_rows():
    assert ids_of([4, 1.5, -2, 3e2, None, -0.0], "bins:5") == [4, 3, 1, 5, 0, 2]
    assert ids_of([1, 1, 1, 1, 2], "bins:4") == [1, 1, 1, 1, 2]


def test_hours_and_weekdays_are_those_of_the_calendar():
    written = [
        "2024-02-29 23:59:59",
        "1970-01-01",
        "2024-12-31T05:10Z",
        "1900-03-01 00:00:00.5+05:30",
    ]
    assert ids_of(written, "hour") == [24, 1, 6, 1]
    assert ids_of([*written, 0, -1, 951_782_400.5, None], "weekday") == [4, 4, 2, 4, 4, 3, 2, 0]
    days = pd.date_range("1897-12-25", "2104-03-03", freq="61h")
    frame = pd.DataFrame({"t": days, "clicked": np.random.default_rng(0).integers(0, 2, len(days))})
    ids = all_ids(from_dataframe(frame, "clicked", {"h": "hour:t", "d": "weekday:t"}), len(days))
    np.testing.assert_array_equal(ids, np.stack([days.hour + 1, days.day_of_week + 1], axis=1))


def test_rows_are_dropped_and_labelled_by_a_threshold():
    frame = clicks().assign(rating=np.resize([1, 2.5, 3, 4, 5], 200))
    data = from_dataframe(frame, "rating > 3", {"user": "vocabulary"}, drop={"rating": range(3, 4)})
    assert data.details["rows_dropped"] == 40
    assert data.details["positive_rate"] == 0.5
    for split in data.splits.values():
        rating = frame["rating"].to_numpy()[split.row_numbers]
        np.testing.assert_array_equal(split.labels, rating > 3)
        assert 3 not in rating


def test_weights_go_with_their_rows():
    frame = clicks().assign(weight=np.arange(200) / 4)
    data = from_dataframe(frame, "clicked", FEATURES, weight="weight", split="time:time")
    for split in data.splits.values():
        np.testing.assert_array_equal(split.weights, split.row_numbers / 4)
        assert len(split.batches(8).element_spec) == 3
    assert data.identity.content != from_dataframe(frame, "clicked", FEATURES).identity.content


def test_splits():
    frame = clicks().assign(group=np.arange(200) // 2)
    numbers = {}
    for split in ("random", "hash", "hash:group", "time:time"):
        data = from_dataframe(frame, "clicked", FEATURES, split=split, seed=4)
        numbers[split] = [split.row_numbers for split in data.splits.values()]
        assert sorted(np.concatenate(numbers[split])) == list(range(200))
    groups = [set(frame["group"][rows]) for rows in numbers["hash:group"]]
    assert sum(map(len, groups)) == 100
    times = [frame["time"][rows] for rows in numbers["time:time"]]
    assert [len(t) for t in times] == [160, 20, 20]
    assert times[0].max() < times[1].min() <= times[1].max() < times[2].min()
    np.testing.assert_array_equal(numbers["random"][0], pep_tf.data.random_split(200, 4)[0])
    names = np.array(["train", "test", "validation", "train"] * 50)
    by_column = from_dataframe(frame.assign(s=names), "clicked", FEATURES, split="column:s")
    given = from_dataframe(frame, "clicked", FEATURES, split=pd.Categorical(names))
    assert by_column.test.md5 == given.test.md5
    np.testing.assert_array_equal(
        given.validation.row_numbers, np.flatnonzero(names == "validation")
    )


def test_the_identity_tells_kinds_split_and_content():
    frame = clicks()

    def identity(frame=frame, features=FEATURES, **options):
        return from_dataframe(frame, "clicked", features, **options).identity

    known = identity()
    assert known.difference(identity()) is None
    other = identity(features={**FEATURES, "item": "hash:60"})
    assert known.difference(other) == "kinds of item hash:50, here hash:60"
    assert known.difference(identity(split="time:time")).startswith("split random, here time:time")
    assert known.difference(identity(seed=1)) == "split seed 0, here 1"
    changed = frame.assign(clicked=1 - frame["clicked"])
    assert "labels of the table changed" in known.difference(identity(changed))
    given = np.array(["train", "test", "validation", "train"] * 50)
    told = identity(split=given).difference(identity(split=given[::-1]))
    assert told == "other rows in train, validation and test"
