"""How often each value occurs, in memory that grows with the values, not with the rows."""

import numpy as np
import pandas as pd

_COMPACT_AT = 1 << 20


class Counter:
    """Counts values, keys as well as texts.

    Args:
        dtype: of the values, uint64 or object.
    """

    def __init__(self, dtype: type = np.uint64) -> None:
        self._values: np.ndarray = np.empty(0, dtype)
        self._counts = np.empty(0, np.int64)
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._waiting = 0

    def add(self, values: np.ndarray, counts: np.ndarray) -> None:
        """Adds values [k] and how often each was met, int64 [k]."""
        self._pending.append((values, counts))
        self._waiting += len(values)
        if self._waiting > max(_COMPACT_AT, len(self._values) // 2):
            self._compact()

    def exceeds(self, most: int) -> bool:
        """Whether there are more different values than that."""
        if len(self._values) + self._waiting > most:
            self._compact()
        return len(self._values) > most

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted values [k] and their counts, int64 [k]."""
        if self._pending:
            self._compact()
        return self._values, self._counts

    def _compact(self) -> None:
        values = np.concatenate([self._values, *(v for v, _ in self._pending)])
        counts = np.concatenate([self._counts, *(c for _, c in self._pending)])
        self._pending, self._waiting = [], 0
        places, distinct = pd.factorize(values)
        total = np.zeros(len(distinct), np.int64)
        np.add.at(total, places, counts)
        order = np.argsort(distinct)
        self._values, self._counts = distinct[order], total[order]
