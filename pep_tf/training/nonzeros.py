"""How many entries are left, at a cost that does not grow with the table."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pep_tf.layers import PEPEmbedding
from pep_tf.tables.sharded_table import ShardedTable

SAMPLE_ROWS = 1 << 16


class Seen(NamedTuple):
    """What was found in a table.

    Attributes:
        nnz: number of non-zero entries of E, estimated from the rows that were read.
        table: V of these rows, float32 [n, d]; of a sharded table, of this worker's rows only. The same
            holds for `thresholds`.
        thresholds: their s, float32, broadcastable to `table`.
    """

    nnz: int
    table: np.ndarray
    thresholds: np.ndarray


class Nonzeros:
    """Counts the non-zeros of E: all of them, or those of a sample of rows scaled up.

    A table of up to `sample_rows` rows is counted whole. In a larger one the same random rows are
    counted each time: enough to see that a budget is near, and the cut of a ticket is exact in any case.

    Args:
        embedding: a built layer.
        sample_rows: rows to look at.

    Attributes:
        exact: whether whole tables are counted.
    """

    def __init__(self, embedding: PEPEmbedding, sample_rows: int = SAMPLE_ROWS) -> None:
        self._embedding = embedding
        num_rows = embedding.input_dim
        self.exact = num_rows <= sample_rows
        drawn = np.arange(num_rows)
        if not self.exact:
            drawn = np.random.default_rng(0).choice(num_rows, sample_rows, replace=False)
        self._scale = num_rows / len(drawn)
        self._rows = tf.constant(embedding.table.row_table.own(np.sort(drawn)), tf.int32)
        self._look: Any = None

    def __call__(self) -> Seen:
        """Reads the table and counts."""
        if self._look is None:  # called itself, it warns of many tables
            self._look = tf.function(self._looked_at, autograph=False).get_concrete_function()
        count, table, thresholds = self._look()
        rows = self._embedding.table.row_table
        if isinstance(rows, ShardedTable):
            count = sum(rows.group.gather_objects(int(count)))
        return Seen(round(int(count) * self._scale), table.numpy(), thresholds.numpy())

    def _looked_at(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = self._embedding.read(self._rows)
        entries, _ = self._embedding.effective(rows)
        return tf.math.count_nonzero(entries), rows.table, rows.thresholds
