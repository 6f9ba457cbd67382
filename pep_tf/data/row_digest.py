"""A digest of rows held in memory that does not depend on their order, nor on how they are split."""

import dataclasses
from typing import Any, Self

import numpy as np
import pandas as pd

_ROWS_AT_ONCE = 1 << 20


@dataclasses.dataclass(frozen=True)
class RowDigest:
    """Sums, modulo 2^64, of a hash of each row; those of several splits are added.

    Attributes:
        rows: how many.
        labels: sum over the hashes of (row number, label).
        features: sum over the hashes of (row number, ids).
    """

    rows: int = 0
    labels: int = 0
    features: int = 0

    @classmethod
    def of(cls, rows: np.ndarray, ids: np.ndarray, labels: np.ndarray) -> Self:
        """The digest of n rows: their numbers int64 [n], ids int32 [n, F], labels float32 [n]."""
        return cls(len(labels), _sum(rows, labels[:, None].view(np.int32)), _sum(rows, ids))

    def __add__(self, other: "RowDigest") -> "RowDigest":
        return RowDigest(
            self.rows + other.rows,
            (self.labels + other.labels) % 2**64,
            (self.features + other.features) % 2**64,
        )

    def digests(self) -> dict[str, Any]:
        """The content part of an `Identity`."""
        return {
            "rows": self.rows,
            "labels": f"{self.labels:016x}",
            "features": f"{self.features:016x}",
        }


def _sum(rows: np.ndarray, values: np.ndarray) -> int:
    """The sum of a hash of each row's number and int32 values [n, k]."""
    total = 0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        taken = slice(start, start + _ROWS_AT_ONCE)
        frame = pd.DataFrame(values[taken])
        frame.insert(0, "row", rows[taken])
        hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
        total += int(np.add.reduce(hashes))  # wraps, which is what is wanted
    return total % 2**64
