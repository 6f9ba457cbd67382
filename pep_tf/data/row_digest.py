"""A digest of rows held in memory that does not depend on their order, nor on how they are split."""

import dataclasses
from typing import Any, Self

import numpy as np

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
        total += int(np.add.reduce(_hashes([rows[taken], *values[taken].T])))  # wraps, as wanted
    return total % 2**64


def _hashes(columns: list[np.ndarray]) -> np.ndarray:
    """A hash uint64 [n] of each row of integers: `pandas.util.hash_pandas_object` without its index.

    Each number goes through the finalizer of SplitMix64, a row through the hash of Python's tuples.
    """
    hashes = np.full(len(columns[0]), 0x345678, np.uint64)
    factor = 1000003
    for left, column in zip(range(len(columns), 0, -1), columns, strict=True):
        hashes ^= _mixed(column)
        hashes *= np.uint64(factor)
        factor = (factor + 82520 + 2 * left) % 2**64
    return hashes + np.uint64(97531)


def _mixed(values: np.ndarray) -> np.ndarray:
    mixed = np.ascontiguousarray(values).view(f"u{values.itemsize}").astype(np.uint64)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
