import numpy as np
import pytest

from pep_tf.data.dataset import check_data
from pep_tf.data.synthetic import SyntheticSplit, synthetic
from pep_tf.data.synthetic.row_source import BLOCK_ROWS, RowSource
from pep_tf.data.synthetic.splits import MAX_HELD_OUT
from pep_tf.errors import DataError


@pytest.fixture(scope="module")
def source() -> RowSource:
    return RowSource("avazu", 3000, seed=7)


def collect(split, batch_size=1000, **order):
    batches = list(split.batches(batch_size, **order).as_numpy_iterator())
    return np.concatenate([ids for ids, _ in batches]), np.concatenate([y for _, y in batches])


def stored(source, first, num_rows):
    """The rows straight from their blocks."""
    blocks = [source.block(b) for b in range((first + num_rows) // BLOCK_ROWS + 1)]
    ids = np.concatenate([ids.T for ids, _, _ in blocks])
    labels = np.concatenate([labels for _, labels, _ in blocks])
    return ids[first : first + num_rows], labels[first : first + num_rows]


def as_set(ids, labels):
    rows = np.column_stack([ids, labels.astype(np.int32)])
    return rows[np.lexsort(rows.T)]


# Ranges inside one block, from block to block, and with part blocks at both ends.
RANGES = [(0, 500), (0, 2 * BLOCK_ROWS), (100, 300), (BLOCK_ROWS - 5, 3 * BLOCK_ROWS)]


@pytest.mark.parametrize(("first", "num_rows"), RANGES)
def test_stored_order_is_the_order_of_the_blocks(source, first, num_rows):
    split = SyntheticSplit(source, first, num_rows)
    ids, labels = collect(split)
    expected_ids, expected_labels = stored(source, first, num_rows)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(labels, expected_labels)
    assert (ids.dtype, labels.dtype) == (np.int32, np.float32)
    assert set(np.unique(labels)) == {0, 1}
    assert (ids < source.schema.sizes).all()
    assert (ids >= 0).all()


@pytest.mark.parametrize(("first", "num_rows"), RANGES)
def test_a_shuffle_holds_each_row_once_in_another_order(source, first, num_rows):
    split = SyntheticSplit(source, first, num_rows)
    plain, shuffled = collect(split), collect(split, seed=1)
    np.testing.assert_array_equal(as_set(*shuffled), as_set(*plain))
    assert (shuffled[0] != plain[0]).any()


def test_order_is_a_function_of_seed_and_epoch(source):
    split = SyntheticSplit(source, 50, 2 * BLOCK_ROWS)
    one, again = collect(split, seed=1, epoch=2), collect(split, seed=1, epoch=2)
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    for other in ({"seed": 1, "epoch": 3}, {"seed": 2, "epoch": 2}):
        assert (collect(split, **other)[0] != one[0]).any()


@pytest.mark.parametrize(("first", "num_rows"), RANGES)
@pytest.mark.parametrize("seed", [None, 3])
def test_starting_late_gives_the_tail(source, first, num_rows, seed):
    split = SyntheticSplit(source, first, num_rows)
    whole = list(split.batches(700, seed=seed, epoch=1).as_numpy_iterator())
    assert [len(y) for _, y in whole[:-1]] == [700] * (len(whole) - 1)
    for start in {1, 12, 13, len(whole) - 1, len(whole), len(whole) + 9}:
        tail = list(split.batches(700, seed=seed, epoch=1, start=start).as_numpy_iterator())
        assert len(tail) == max(0, len(whole) - start)
        for (ids, labels), (expected_ids, expected_labels) in zip(tail, whole[start:], strict=True):
            np.testing.assert_array_equal(ids, expected_ids)
            np.testing.assert_array_equal(labels, expected_labels)


def test_batch_size_and_threads_do_not_change_the_order(source):
    one = collect(SyntheticSplit(source, 9, 30_000, workers=1), 1024, seed=0)
    for workers, batch_size in [(4, 1024), (2, 20_000)]:
        other = collect(SyntheticSplit(source, 9, 30_000, workers=workers), batch_size, seed=0)
        np.testing.assert_array_equal(other[0], one[0])
        np.testing.assert_array_equal(other[1], one[1])


def test_blocks_come_out_the_same_in_any_order_and_from_any_source(source):
    forward = [source.block(b) for b in (0, 1, 5000)]
    fresh = RowSource("avazu", 3000, seed=7)
    for (ids, labels, truth), b in zip(reversed(forward), (5000, 1, 0), strict=True):
        again = fresh.block(b)
        np.testing.assert_array_equal(again[0], ids)
        np.testing.assert_array_equal(again[1], labels)
        np.testing.assert_array_equal(again[2], truth)
    assert (forward[0][0] != forward[1][0]).any()
    assert (RowSource("avazu", 3000, seed=8).block(0)[0] != forward[0][0]).any()


def test_the_probability_of_a_block_is_the_truths(source):
    ids, _, probability = source.block(3)
    np.testing.assert_allclose(probability, source.truth.probability(ids.T), rtol=1e-6)


def test_labels_are_calibrated():
    source = RowSource("criteo", 20_000)
    blocks = [source.block(b) for b in range(20)]
    label = np.concatenate([y for _, y, _ in blocks])
    truth = np.concatenate([p for _, _, p in blocks]).astype(float)
    assert label.mean() == pytest.approx(0.25, abs=0.006)
    for tenth in np.array_split(np.argsort(truth), 10):
        p = truth[tenth]
        spread = np.sqrt((p * (1 - p)).sum()) / len(p)
        assert abs(label[tenth].mean() - p.mean()) < 4 * spread


def test_splits_are_the_rows_in_turn():
    data = synthetic("avazu", rows=1005, num_features=3000, seed=7)
    assert data.name == "synthetic-avazu"
    assert (data.schema.num_fields, data.schema.num_features) == (22, 3000)
    assert [s.num_rows for s in (data.train, data.validation, data.test)] == [805, 100, 100]
    ids, labels = stored(RowSource("avazu", 3000, seed=7), 0, 1005)
    parts = [collect(s) for s in (data.train, data.validation, data.test)]
    np.testing.assert_array_equal(np.concatenate([i for i, _ in parts]), ids)
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), labels)


def test_held_out_splits_are_capped(monkeypatch):
    monkeypatch.setattr(SyntheticSplit, "best_scores", lambda self: (0.8, 0.4))
    data = synthetic("avazu", rows=45_840_617, num_features=3000)
    assert data.validation.num_rows == data.test.num_rows == MAX_HELD_OUT == 500_000
    assert data.train.num_rows == 44_840_617
    # The last block of so many rows is as near as the first.
    ids, _ = next(data.train.batches(256, start=44_840_617 // 256).as_numpy_iterator())
    assert len(ids) == 44_840_617 % 256


def test_details_report_the_best_auc_of_the_very_rows():
    data = synthetic("criteo", rows=4000, num_features=5000, seed=3)
    truth = RowSource("criteo", 5000, seed=3).truth
    for name, split in {"validation": data.validation, "test": data.test}.items():
        ids, labels = collect(split)
        p = truth.probability(ids).astype(float)
        clicks, others = p[labels == 1], p[labels == 0]
        wins = (clicks[:, None] > others).sum() + (clicks[:, None] == others).sum() / 2
        auc = wins / (len(clicks) * len(others))
        assert data.details["best_auc"][name] == pytest.approx(auc, abs=1e-9)
        loss = -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p)))
        assert data.details["best_logloss"][name] == pytest.approx(loss, rel=1e-5)
    assert data.details["synthetic"] is True
    assert data.details["useful_features"] == truth.useful.sum()


def test_best_auc_is_near_its_expectation_on_many_rows():
    best = synthetic("criteo", rows=600_000, num_features=50_000).details["best_auc"]
    assert best["validation"] == pytest.approx(0.80, abs=0.01)
    assert best["test"] == pytest.approx(0.80, abs=0.01)


def test_a_split_of_one_class_has_no_auc():
    data = synthetic("avazu", rows=10, num_features=3000)
    assert data.train.num_rows == 8
    assert data.details["best_auc"] == {"validation": None, "test": None}


def test_md5_names_the_rows(source):
    one = SyntheticSplit(source, 0, 10)
    assert one.md5 == SyntheticSplit(RowSource("avazu", 3000, seed=7), 0, 10, workers=1).md5
    others = [
        SyntheticSplit(source, 1, 10),
        SyntheticSplit(source, 0, 11),
        SyntheticSplit(RowSource("avazu", 3000, seed=8), 0, 10),
        SyntheticSplit(RowSource("avazu", 3001, seed=7), 0, 10),
    ]
    assert len({one.md5, *(s.md5 for s in others)}) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "`rows` must be at least 10. Received: 0"),
        ({"rows": -3}, "`rows` must be at least 10. Received: -3"),
        ({"num_features": 77}, "`num_features` must be between 78.*39 fields.*num_features=77"),
        ({"shape": "movielens"}, "`shape` must be one of.*'movielens'"),
        ({"seed": -1}, "`seed` must be at least 0. Received: -1"),
        ({"rank": 0}, "`rank` must be at least 1. Received: 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        synthetic(**{"rows": 100, "num_features": 1000, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: 0"),
        ({"start": -1}, "`start` must be at least 0. Received: -1"),
        ({"epoch": -1}, "`epoch` must be at least 0. Received: -1"),
    ],
)
def test_bad_arguments_of_batches(source, arguments, message):
    with pytest.raises(DataError, match=message):
        SyntheticSplit(source, 0, 10).batches(**{"batch_size": 5, **arguments})


def test_an_empty_split_is_refused(source):
    with pytest.raises(DataError, match="`num_rows` must be at least 1. Received: 0"):
        SyntheticSplit(source, 0, 0)


def test_few_rows_may_be_of_one_class():
    data = synthetic("avazu", rows=10, num_features=500)
    with pytest.raises(DataError, match="`validation` must hold rows of both classes.* 1 rows"):
        check_data(data)
    check_data(synthetic("avazu", rows=1000, num_features=500))
