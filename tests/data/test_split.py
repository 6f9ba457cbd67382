import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data import random_split, split_arrays
from pep_tf.errors import DataError


def test_is_the_documented_permutation():
    order = np.random.default_rng(7).permutation(25)
    train, validation, test = random_split(25, 7)
    assert (len(train), len(validation), len(test)) == (20, 2, 3)  # int(.8 * 25), int(.9 * 25) = 22
    np.testing.assert_array_equal(np.concatenate([train, validation, test]), order)
    assert train.dtype == np.int64


@settings(deadline=None)
@given(st.integers(10, 2000), st.integers(0, 2**32 - 1))
def test_every_row_is_in_one_split(num_rows, seed):
    splits = random_split(num_rows, seed)
    assert sorted(np.concatenate(splits).tolist()) == list(range(num_rows))
    assert all(len(rows) for rows in splits)


def test_seeds_differ_and_repeat():
    assert random_split(100, 0)[0].tolist() == random_split(100, 0)[0].tolist()
    assert random_split(100, 0)[0].tolist() != random_split(100, 1)[0].tolist()


@pytest.mark.parametrize("num_rows", [0, 1, 2, 5])
def test_refuses_too_few_rows(num_rows):
    with pytest.raises(DataError, match=f"Received: {num_rows}"):
        random_split(num_rows, 0)


def test_refuses_a_negative_seed():
    with pytest.raises(DataError, match="`seed` must be at least 0. Received: -1"):
        random_split(100, -1)


def test_arrays_are_split_by_rows():
    ids = np.arange(40).reshape(20, 2)
    labels = np.arange(20) % 2
    for split, rows in zip(split_arrays(ids, labels, 3), random_split(20, 3), strict=True):
        np.testing.assert_array_equal(split.ids, ids[rows])
        np.testing.assert_array_equal(split.labels, labels[rows])
        assert split.md5 == hashlib.md5(rows.astype("<i8").tobytes()).hexdigest()


def test_refuses_labels_of_another_length():
    with pytest.raises(DataError, match="Received: 20 and 19"):
        split_arrays(np.zeros((20, 1)), np.zeros(19), 0)
