"""A table as it left training: every number stored, zeros too."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from pep_tf.export.bound import bound_bytes, count_histogram
from pep_tf.export.octets import look


class DenseTable(tf.Module):
    """The form that the packed one is measured against.

    Args:
        blocks: row blocks float32 [n_i, d], in order.
        name: prefix of the variable's name.
    """

    def __init__(self, blocks: Iterable[np.ndarray], name: str = "table") -> None:
        super().__init__(name=name)
        rows = np.concatenate(list(blocks)).astype(np.float32, copy=False)
        self.num_rows, self.dim = rows.shape
        self.nnz = int(np.count_nonzero(rows))
        self.bound_bytes = bound_bytes(count_histogram(rows))
        self.values = tf.Variable(rows, trainable=False, name=f"{name}_values")

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] of the table rows int32 [n]."""
        return look(self.values.read_value(), rows)

    def parts(self) -> dict[str, int]:
        """Bytes by part."""
        return {"values": 4 * self.num_rows * self.dim}
