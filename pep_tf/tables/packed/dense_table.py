"""A table as it left training: every number stored, zeros too."""

from collections.abc import Iterable
from typing import Self

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.bound import bound_bytes, count_histogram
from pep_tf.tables.packed.octets import take
from pep_tf.tables.packed.stored_table import StoredTable


class DenseTable(StoredTable):
    """The form that the packed ones are measured against; its one array is `values`, [N, d]."""

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> Self:
        """Of row blocks float32 [n_i, d], in order."""
        rows = np.concatenate(list(blocks)).astype(np.float32, copy=False)
        facts = {
            "num_rows": rows.shape[0],
            "dim": rows.shape[1],
            "nnz": int(np.count_nonzero(rows)),
            "bound_bytes": bound_bytes(count_histogram(rows)),
        }
        return cls({"values": rows}, facts)

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        return take(self.arrays["values"], rows)

    def parts(self) -> dict[str, int]:
        return {"values": self._bytes("values")}
