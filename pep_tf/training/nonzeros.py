"""How many entries are left, at a cost that does not grow with the table."""

import numpy as np
import tensorflow as tf

from pep_tf.layers import PEPEmbedding

SAMPLE_ROWS = 1 << 16


class Nonzeros:
    """Counts the non-zeros of E: all of them, or those of a sample of rows scaled up.

    A table of up to `sample_rows` rows is counted whole. Of a larger one the same random rows are
    looked at each time: that suffices to see that a budget is near, and the cut of a ticket is exact
    in any case.

    Args:
        embedding: a built layer.
        sample_rows: rows to look at.

    Attributes:
        exact: whether whole tables are counted.
    """

    def __init__(self, embedding: PEPEmbedding, sample_rows: int = SAMPLE_ROWS) -> None:
        self._embedding = embedding
        self.exact = embedding.input_dim <= sample_rows
        if not self.exact:
            drawn = np.random.default_rng(0).choice(embedding.input_dim, sample_rows, replace=False)
            self._sample = tf.constant(np.sort(drawn), tf.int32)
            self._scale = embedding.input_dim / sample_rows
        self._count = tf.function(self._count_sample)

    def __call__(self) -> tuple[int, np.ndarray]:
        """Number of non-zero entries of E as it stands, and s of the rows that were looked at."""
        if self.exact:
            _, thresholds = self._embedding.current()
            assert thresholds is not None, "only tables with thresholds are pruned"
            return self._embedding.nnz(), thresholds
        count, thresholds = self._count()
        return round(int(count) * self._scale), thresholds.numpy()

    def _count_sample(self) -> tuple[tf.Tensor, tf.Tensor]:
        rows = self._embedding.source.look(self._sample)
        entries, _ = self._embedding.effective(rows)
        return tf.math.count_nonzero(entries), rows.thresholds

    def weights(self) -> np.ndarray:
        """V as it stands, of the rows that are counted, one after the other."""
        if self.exact:
            return self._embedding.current()[0].ravel()
        return self._embedding.source.look(self._sample).table.numpy().ravel()
