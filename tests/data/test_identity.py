"""What two data sets have in common and what not, by content."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.data.identity import Identity
from pep_tf.data.row_digest import RowDigest
from pep_tf.data.synthetic import synthetic

RNG = np.random.default_rng(0)
IDS, LABELS = RNG.integers(0, 5, (60, 2)), RNG.integers(0, 2, 60)


def made_up(ids=IDS, labels=LABELS, order=None, name="made-up", sizes=(5, 5)) -> CTRData:
    order = np.arange(len(labels)) if order is None else order
    splits = (ArraySplit(ids[r], labels[r], r) for r in np.split(order, [40, 50]))
    return CTRData(name, FeatureSchema.of(dict(zip("ab", sizes, strict=True))), *splits)


def test_the_same_rows_are_the_same_data_whatever_their_name():
    assert made_up().identity == made_up(name="renamed").identity
    assert made_up().identity.difference(made_up(name="renamed").identity) is None


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (made_up(labels=1 - LABELS), "data content: labels of the data changed"),
        (made_up(ids=(IDS + 1) % 5), "data content: features of the data changed"),
        (made_up(IDS[:55], LABELS[:55]), "data content: rows 60, here 55"),
        (made_up(sizes=(5, 6)), "sizes of b 5, here 6"),
        (made_up(order=np.arange(60)[::-1]), "other rows in train, validation and test"),
    ],
)
def test_what_differs_is_told_in_a_line(other: CTRData, told: str):
    assert made_up().identity.difference(other.identity) == told


def test_one_row_is_enough_and_two_changes_do_not_cancel():
    one, two = LABELS.copy(), LABELS.copy()
    one[3] = 1 - one[3]
    on, off = np.flatnonzero(LABELS == 1)[0], np.flatnonzero(LABELS == 0)[0]
    two[on], two[off] = 0, 1
    for labels in (one, two):
        told = made_up().identity.difference(made_up(labels=labels).identity)
        assert told == "data content: labels of the data changed"


def test_another_split_of_the_same_rows_is_the_same_content():
    ours, theirs = made_up().identity, made_up(order=RNG.permutation(60)).identity
    assert ours.content == theirs.content
    assert ours.digests()["content"] == theirs.digests()["content"]
    assert ours.digests()["split"] != theirs.digests()["split"]


def test_digests_of_rows_do_not_depend_on_blocks_or_order(monkeypatch):
    rows = np.arange(60)
    whole = RowDigest.of(rows, IDS.astype(np.int32), LABELS.astype(np.float32))
    monkeypatch.setattr("pep_tf.data.row_digest._ROWS_AT_ONCE", 7)
    order = RNG.permutation(60)
    parts = [
        RowDigest.of(part, IDS[part].astype(np.int32), LABELS[part].astype(np.float32))
        for part in np.split(order, [11, 12])
    ]
    assert sum(parts, RowDigest()) == whole
    # Fixed: what was recorded by one version is compared by the next.
    fixed = RowDigest.of(np.arange(2), np.eye(2, dtype=np.int32), np.array([0, 1], np.float32))
    assert fixed.digests() == {
        "rows": 2,
        "labels": "0b007f970d962f1b",
        "features": "cbd14ac2b90a4639",
    }


def test_a_split_that_was_replaced_is_noticed():
    """A data set whose rows are not in memory, one split of which is put in its place."""
    data = synthetic("avazu", rows=1000, num_features=500)
    ids, rows = np.zeros((data.train.num_rows, 22), np.int32), np.arange(data.train.num_rows)
    other = dataclasses.replace(data, train=ArraySplit(ids, rows % 2, rows))
    told = data.identity.difference(other.identity)
    assert told.startswith("data content: own rows in train none, here ")
    assert (
        data.identity.difference(synthetic("avazu", rows=1000, num_features=500).identity) is None
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, "data content: seed 0, here 1"),
        ({"rows": 1100}, "data content: rows 1000, here 1100"),
        ({"num_features": 600}, "data content: num_features 500, here 600"),
    ],
)
def test_synthetic_data(changes: dict, told: str):
    given = {"rows": 1000, "num_features": 500, "seed": 0}
    ours, theirs = synthetic("avazu", **given), synthetic("avazu", **{**given, **changes})
    assert ours.identity.difference(theirs.identity) == told


def test_as_json_and_back():
    identity = made_up().identity
    assert Identity.from_config(json.loads(json.dumps(identity.get_config()))) == identity
    for nothing in (None, "x", {}, {"content": 3}, [1]):
        assert Identity.from_config(nothing) is None


def test_what_one_side_does_not_know_is_not_compared():
    known = Identity(mapping={"encoding": "hash", "hash seed": 0}, split={"split seed": 0})
    assert Identity().difference(known) is None
    assert known.difference(Identity()) is None
    assert known.difference(Identity(content={"rows": 3, "labels": "a"})) is None
    # An option that the other has no value for is none of its options.
    assert known.difference(Identity(mapping={"min_count": 3})) == "min_count none, here 3"


def test_several_differences_and_too_many():
    ours = Identity(mapping={"buckets": dict.fromkeys("abcdef", 1)}, split={"split seed": 0})
    theirs = Identity(mapping={"buckets": dict.fromkeys("abcdef", 2)}, split={"split seed": 1})
    told = ours.difference(theirs)
    assert told.startswith("buckets of a 1, here 2; buckets of b 1, here 2")
    assert told.endswith("; and 3 more")
    swapped = Identity(mapping={"buckets": {"b": 1, "a": 1}})
    assert Identity(mapping={"buckets": {"a": 1, "b": 1}}).difference(swapped) == (
        "fields a, b, here b, a"
    )


def test_use_after_training():
    """New rows are welcome under the same mapping; another split of the same rows is not."""
    ours = made_up().identity
    assert ours.trained_otherwise(made_up(labels=1 - LABELS).identity) is None
    assert ours.trained_otherwise(made_up(IDS[:55], LABELS[:55]).identity) is None
    assert ours.trained_otherwise(made_up(order=np.arange(60)[::-1]).identity)
    assert ours.trained_otherwise(made_up(sizes=(6, 5)).identity) == "sizes of a 5, here 6"


def test_rows_have_the_hash_of_pandas():
    rng = np.random.default_rng(0)
    rows, ids = rng.integers(0, 2**40, 100), rng.integers(-(2**31), 2**31, (100, 3), np.int32)
    frame = pd.DataFrame({"row": rows, **dict(enumerate(ids.T))})
    whole = int(np.add.reduce(pd.util.hash_pandas_object(frame, index=False).to_numpy()))
    digest = RowDigest.of(rows, ids, np.zeros(100, np.float32))
    assert digest.features == whole % 2**64
