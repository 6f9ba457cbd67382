"""What every stored form of a table has: arrays by name, a few facts, and a lookup."""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.entries import Entries

# NumPy arrays while a table is encoded, tensors while rows are looked up, and `tf.TensorSpec` where
# only the sizes matter.
Arrays = Mapping[str, Any]


class StoredTable:
    """A table of N x d in a stored form, which decodes the rows that are asked for.

    It holds no variable of its own: what keeps the arrays (a Keras layer, a module that is served)
    hands in their values for each graph, see `over`.

    Args:
        arrays: what is stored, by name.
        facts: what else there is to know of it, JSON-ready; see `facts_of`.
    """

    def __init__(self, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        self.arrays, self.facts = dict(arrays), dict(facts)
        self.num_rows, self.dim = int(facts["num_rows"]), int(facts["dim"])
        self.nnz, self.bound_bytes = int(facts["nnz"]), float(facts["bound_bytes"])

    def over(self, arrays: Arrays) -> Self:
        """The same table over other arrays of the same names, such as tensors in place of NumPy's."""
        return type(self)(arrays, self.facts)

    def parts(self) -> dict[str, int]:
        """Bytes by part; `values` is one of them."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        return sum(self.parts().values())

    def stored_widths(self) -> np.ndarray | None:
        """int64 [N]: how many of its first numbers each row stores, zeros too; None where it is not so."""
        return None

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of the table rows int32 [n], each in [0, N)."""
        raise NotImplementedError

    def _bytes(self, *names: str) -> int:
        """Of the arrays of these names that are there."""
        return sum(nbytes(self.arrays[name]) for name in names if name in self.arrays)


def facts_of(entries: Entries) -> dict[str, Any]:
    """Facts of every form: rows, columns, entries that are not zero, and the bound of its bytes."""
    return {
        "num_rows": entries.num_rows,
        "dim": entries.dim,
        "nnz": entries.nnz,
        "bound_bytes": entries.bound_bytes,
    }


def nbytes(array: Any) -> int:
    """Bytes of an array, a tensor or a `tf.TensorSpec`, whose shape must be known."""
    return math.prod(array.shape) * tf.as_dtype(array.dtype).size
