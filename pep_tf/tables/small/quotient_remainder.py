"""The quotient-remainder trick: two small tables give each feature a row of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.tables.small.scheme import At, Scheme, of_field


class QuotientRemainder(Scheme):
    """Feature i of a field of n > m has the product, entry by entry, of two rows of the field's.

    These are row `i mod m` of a table of m and row `i // m` of one of ceil(n / m), m = size, so that
    no two features have the same. A field of up to m features keeps a row for each.

    Reference:
        Shi et al., "Compositional Embeddings Using Complementary Partitions for Memory-Efficient
        Recommendation Systems", KDD 2020, arXiv 1909.02107; element-wise multiplication, its best one.
        Quotients start uniform in [1/sqrt(n), 1], as in the authors' code.
    """

    name = "qr"

    def __init__(self, field_sizes: Sequence[int], dim: int, size: int) -> None:
        super().__init__(field_sizes, dim, size)
        sizes = np.array(self.field_sizes)
        self._split = sizes > self.size
        self._remainders = np.minimum(sizes, self.size)
        self._quotients = np.where(self._split, -(-sizes // self.size), 0)
        self.shapes = {"remainder": (int(self._remainders.sum()), self.dim)}
        if self._split.any():
            self.shapes["quotient"] = (int(self._quotients.sum()), self.dim)

    @classmethod
    def sizes(cls, field_sizes: Sequence[int], dim: int) -> tuple[int, int]:
        # The sum over fields of m + n / m has its minimum at an m up to the root of the largest n.
        roots = range(1, 2 + int(max(field_sizes) ** 0.5))
        return min(roots, key=lambda m: cls(field_sizes, dim, m).numbers), max(field_sizes)

    def initial(self, table: str) -> Any:
        if table == "remainder":
            return super().initial(table)
        low = max(self.field_sizes) ** -0.5
        return {"class_name": "RandomUniform", "config": {"minval": low, "maxval": 1.0}}

    def rows(self, rows: tf.Tensor, at: At) -> tf.Tensor:
        fields = self._fields(rows)
        within = rows - of_field(self.first[:-1], fields)
        start = np.cumsum(self._remainders) - self._remainders
        found = at(
            "remainder", of_field(start, fields) + within % of_field(self._remainders, fields)
        )
        if not self._split.any():
            return found
        start = np.cumsum(self._quotients) - self._quotients
        split = of_field(self._split, fields)
        factors = at("quotient", (of_field(start, fields) + within // self.size) * split)
        return found * tf.where(split[:, None] > 0, factors, tf.ones_like(factors))
