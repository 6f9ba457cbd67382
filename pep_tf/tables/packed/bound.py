"""What a pruned table must cost: its values, and the entropy of where they are."""

import math

import numpy as np


def count_histogram(rows: np.ndarray) -> np.ndarray:
    """int64 [d + 1]: how many rows of [n, d] have 0, 1, ... d entries that are not zero."""
    counts = np.count_nonzero(rows, axis=1)
    return np.bincount(counts, minlength=rows.shape[1] + 1).astype(np.int64)


def bound_bytes(histogram: np.ndarray) -> float:
    """Bytes that no code goes below unless it knows more of the table than each row's count.

    `4 nnz` for float32 values, `Σ log2 C(d, count)` bits to say which columns a row keeps, and
    `N H` bits to say how many, H being the empirical entropy of the N counts (zeros included).

    Args:
        histogram: int [d + 1], number of rows that keep 0, 1, ... d of their d entries.

    Example:
        >>> bound_bytes(np.array([1, 0, 1]))  # one empty row and one full row of width 2
        8.25
    """
    dim, rows = len(histogram) - 1, int(histogram.sum())
    nnz, columns, counts = 0, 0.0, 0.0
    for count, times in enumerate(histogram.tolist()):
        if times:
            nnz += count * times
            columns += times * _log2_choose(dim, count)
            counts -= times * math.log2(times / rows)
    return 4 * nnz + (columns + counts) / 8


def _log2_choose(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)
