"""How often each feature occurs, field by field, in memory that grows with the features, not the rows."""

import numpy as np

_COMPACT_AT = 1 << 20


class KeyCounter:
    """Counts keys of one field."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.int64)
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._waiting = 0

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Adds distinct keys uint64 [k] and their counts int64 [k]."""
        self._pending.append((keys, counts))
        self._waiting += len(keys)
        if self._waiting > max(_COMPACT_AT, len(self._keys) // 2):
            self._compact()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted keys uint64 [k] and their counts int64 [k]."""
        self._compact()
        return self._keys, self._counts

    def _compact(self) -> None:
        keys = np.concatenate([self._keys, *(k for k, _ in self._pending)])
        counts = np.concatenate([self._counts, *(c for _, c in self._pending)])
        self._pending, self._waiting = [], 0
        order = np.argsort(keys)
        keys, counts = keys[order], counts[order]
        first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
        self._keys = keys[first]
        self._counts = np.add.reduceat(counts, first) if len(first) else counts


def count_block(keys: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distinct keys and counts of each column of uint64 [n, F]."""
    columns = np.ascontiguousarray(keys.T)
    return [_unique(column) for column in columns]


def _unique(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keys, counts = np.unique(column, return_counts=True)
    return keys, counts.astype(np.int64)
