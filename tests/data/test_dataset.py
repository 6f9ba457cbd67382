import hashlib

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data import ArraySplit

NUM_ROWS = 23


@pytest.fixture
def split():
    """Row r has the ids (r, 100 + r) and the label r % 2."""
    rows = np.arange(NUM_ROWS)
    return ArraySplit(np.stack([rows, 100 + rows], 1), rows % 2, rows)


def rows_of(batches):
    return [ids[:, 0].numpy().tolist() for ids, _ in batches]


def test_stored_order_without_a_seed(split):
    batches = list(split.batches(10))
    assert rows_of(batches) == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
    ids, labels = batches[0]
    assert (ids.dtype, ids.shape) == (tf.int32, (10, 2))
    assert (labels.dtype, labels.shape) == (tf.float32, (10,))


@pytest.mark.parametrize("seed", [None, 0, 5])
def test_rows_keep_their_ids_and_labels_together(split, seed):
    for ids, labels in split.batches(4, seed=seed, epoch=3):
        np.testing.assert_array_equal(ids[:, 1], ids[:, 0] + 100)
        np.testing.assert_array_equal(labels, ids[:, 0] % 2)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 100])
def test_an_epoch_covers_each_row_once(split, batch_size):
    rows = [row for batch in rows_of(split.batches(batch_size, seed=1, epoch=2)) for row in batch]
    assert sorted(rows) == list(range(NUM_ROWS))
    assert rows != list(range(NUM_ROWS))


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("start", [0, 1, 3, 5, 6])
def test_start_resumes_where_an_epoch_was_left(split, seed, start):
    whole = rows_of(split.batches(4, seed=seed, epoch=1))
    assert len(whole) == 6
    assert rows_of(split.batches(4, seed=seed, epoch=1, start=start)) == whole[start:]


def test_order_is_a_function_of_seed_and_epoch(split):
    orders = {
        (seed, epoch): rows_of(split.batches(NUM_ROWS, seed=seed, epoch=epoch))[0]
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    for (seed, epoch), order in orders.items():
        assert rows_of(split.batches(NUM_ROWS, seed=seed, epoch=epoch)) == [order]


def test_order_does_not_depend_on_the_batch_size(split):
    flat = [sum(rows_of(split.batches(size, seed=3)), []) for size in (1, 5, 23)]
    assert flat[0] == flat[1] == flat[2]


def test_md5_is_of_the_little_endian_int64_rows():
    rows = np.array([3, 1, 2])
    split = ArraySplit(np.zeros((3, 1)), np.zeros(3), rows.astype(np.int32))
    expected = b"".join(int(row).to_bytes(8, "little") for row in rows)
    assert split.md5 == hashlib.md5(expected).hexdigest()
    assert split.num_rows == 3
