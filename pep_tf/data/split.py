"""The random 80/10/10 split of rows, a function of the seed and the number of rows alone."""

import numpy as np

from pep_tf.data import checks
from pep_tf.data.dataset import ArraySplit
from pep_tf.errors import DataError
from pep_tf.numbers import whole


def random_split(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws the rows of train, validation and test.

    Rows are permuted by `numpy.random.default_rng(seed)`; the first `int(.8 * n)` are train, those
    up to `int(.9 * n)` validation, the rest test. One thread draws them, so nothing but the
    arguments can change the result.

    Args:
        num_rows: n, the number of rows to split.
        seed: seed of the permutation, 0 or more.

    Returns:
        Row indices of train, validation and test, each int64 [rows of the split].

    Raises:
        DataError: a split would be empty, or `seed` is negative.
    """
    num_rows = whole("num_rows", num_rows, most=10**12)
    seed = whole("seed", seed, least=0, most=2**32 - 1)  # as Keras and NumPy take it
    train_end, validation_end = int(0.8 * num_rows), int(0.9 * num_rows)
    if not 0 < train_end < validation_end < num_rows:
        raise DataError(
            "`num_rows` must be large enough for 80 % train, 10 % validation and 10 % test with a "
            f"row in each; 10 rows are. Received: {num_rows}"
        )
    order = np.random.default_rng(seed).permutation(num_rows)
    train, validation, test = np.split(
        order.astype(np.int64, copy=False), [train_end, validation_end]
    )
    return train, validation, test


def split_arrays(
    ids: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[ArraySplit, ArraySplit, ArraySplit]:
    """Splits a data set held in memory by `random_split`.

    Args:
        ids: int [n, F], ids per field.
        labels: [n], 0 or 1.
        seed: seed of the split.

    Returns:
        Train, validation and test; the md5 of each is that of its int64 row indices, in order.

    Raises:
        DataError: ids or labels that `ArraySplit` refuses, or `random_split` refuses.

    Example:
        >>> ids, labels = np.arange(200).reshape(100, 2) % 9, np.arange(100) % 2
        >>> [split.num_rows for split in split_arrays(ids, labels, seed=0)]
        [80, 10, 10]
    """
    ids = checks.whole_ids(ids)  # here, so that an error names the row as the caller counts it
    labels = checks.binary_labels(labels, len(ids))
    train, validation, test = (
        ArraySplit(ids[rows], labels[rows], rows) for rows in random_split(len(labels), seed)
    )
    return train, validation, test
