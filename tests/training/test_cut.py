import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pep_tf.tables.sharded_table import interleaved
from pep_tf.training.cut import Part, cut_masks

FEW = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, np.float32(0.1), -2.0, 1e-42])
ANY = st.floats(width=32, allow_nan=False)
TABLES = st.tuples(st.integers(1, 12), st.integers(1, 19)).flatmap(
    lambda shape: st.one_of(*(arrays.arrays(np.float32, shape, elements=e) for e in (FEW, ANY)))
)


def oracle(score: np.ndarray, budget: int) -> np.ndarray:
    """bool [N, d] of the highest entries, equal ones by lowest index."""
    order = np.argsort(-score.ravel().astype(np.float64), kind="stable")
    mask = np.zeros(score.size, bool)
    mask[order[:budget]] = True
    return mask.reshape(score.shape)


def cut(score: np.ndarray, budget: int, block: int) -> np.ndarray:
    bits = cut_masks({"table": score}, budget, block)["table"]
    assert bits.dtype == np.uint8
    assert bits.shape == (len(score), -(-score.shape[1] // 8))
    unpacked = np.unpackbits(bits, axis=1)
    assert not unpacked[:, score.shape[1] :].any()
    return unpacked[:, : score.shape[1]].astype(bool)


@given(TABLES, st.data())
@settings(max_examples=60, deadline=None)  # each walk counts 65,536 buckets
def test_against_a_stable_sort(score, data):
    budget = data.draw(st.integers(0, score.size))
    block = data.draw(st.integers(1, len(score) + 1))
    np.testing.assert_array_equal(cut(score, budget, block), oracle(score, budget))


def test_ties_by_lowest_index_across_blocks():
    score = np.array([[0.5, 0.5], [0.7, 0.5], [0.5, 0.5]], np.float32)
    expected = [[True, True], [True, False], [False, False]]
    np.testing.assert_array_equal(cut(score, 3, block=1), expected)


def test_negative_zero_is_zero():
    score = np.array([[-0.0, 0.0, -0.0, -1.0]], np.float32)
    np.testing.assert_array_equal(cut(score, 2, block=1), [[True, True, False, False]])


def test_negative_scores_are_kept_when_the_budget_asks_for_them():
    score = np.array([[-3.0, -1.0], [-2.0, 4.0]], np.float32)
    np.testing.assert_array_equal(cut(score, 3, block=2), [[False, True], [True, True]])


@pytest.mark.parametrize("dim", [1, 7, 8, 9])
def test_nothing_and_everything(dim):
    score = np.random.default_rng(0).normal(size=(5, dim)).astype(np.float32)
    assert not cut(score, 0, block=2).any()
    assert cut(score, score.size, block=2).all()


def test_neighbours_in_float32_are_told_apart():
    one = np.float32(1)
    score = np.array([[one, np.nextafter(one, np.float32(2)), np.nextafter(one, np.float32(0))]])
    np.testing.assert_array_equal(cut(score, 1, block=1), [[False, True, False]])
    np.testing.assert_array_equal(cut(score, 2, block=1), [[True, True, False]])


SEVERAL = st.lists(TABLES, min_size=1, max_size=3)


@given(SEVERAL, st.data())
@settings(max_examples=60, deadline=None)
def test_several_tables_against_a_stable_sort(scores, data):
    """Equal scores by row, within a row by table, within a table by column."""
    tables = {f"t{i}": score for i, score in enumerate(scores)}
    places = [
        (row, table, column)
        for table, score in enumerate(scores)
        for row, column in np.ndindex(*score.shape)
    ]
    places.sort(key=lambda at: (-float(scores[at[1]][at[0], at[2]]), at))
    budget = data.draw(st.integers(0, len(places)))
    masks = cut_masks(tables, budget, data.draw(st.integers(1, 13)))
    expected = [np.zeros(score.shape, bool) for score in scores]
    for row, table, column in places[:budget]:
        expected[table][row, column] = True
    for name, mask in zip(tables, expected, strict=True):
        np.testing.assert_array_equal(masks[name], np.packbits(mask, axis=1))


def test_tables_of_one_length_are_cut_as_if_they_stood_side_by_side():
    rng = np.random.default_rng(0)
    wide, narrow = rng.integers(0, 3, (9, 4)), rng.integers(0, 3, (9, 1))
    both = np.concatenate([wide, narrow], axis=1).astype(np.float32)
    joint = oracle(both, 17)
    masks = cut_masks({"wide": both[:, :4], "narrow": both[:, 4:]}, 17, block_rows=2)
    np.testing.assert_array_equal(masks["wide"], np.packbits(joint[:, :4], axis=1))
    np.testing.assert_array_equal(masks["narrow"], np.packbits(joint[:, 4:], axis=1))


class _Together:
    """The sum over threads, as workers have it over processes."""

    def __init__(self, count):
        self._parts, self._barrier = [None] * count, threading.Barrier(count)

    def total(self, rank):
        def summed(array):
            self._parts[rank] = array
            self._barrier.wait(60)
            found = np.sum(self._parts, axis=0)
            self._barrier.wait(60)
            return found

        return summed


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("budget", [1, 37, 90, 130])
def test_parts_of_tables_are_cut_as_the_whole(workers, budget):
    """Many scores are equal; one table is on all workers, of the others each has its own rows."""
    rng = np.random.default_rng(budget)
    scores = {
        name: rng.integers(-3, 4, (rows, dim)).astype(np.float32)
        for name, rows, dim in (("a", 23, 5), ("whole", 7, 2), ("b", 11, 9))
    }
    expected = cut_masks(scores, budget)
    sharded, together = {"a", "b"}, _Together(workers)

    def cut(rank):
        own = {n: s[rank::workers] if n in sharded else s for n, s in scores.items()}
        part = Part(together.total(rank), sharded, rank, workers)
        return cut_masks(own, budget, block_rows=4, among=part)

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(cut, range(workers)))
    for name in scores:
        parts = [own[name] for own in found]
        mask = interleaved(parts) if name in sharded else parts[0]
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)
        assert name in sharded or all(np.array_equal(mask, part) for part in parts)
