"""Plain hashing: several features of a field share a row."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pep_tf.tables.small.scheme import At, Scheme, of_field


class Hashed(Scheme):
    """Feature i of a field of n has row `i mod m` of the field's, m = min(n, size).

    Reference:
        Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009; with this
        remainder as the hash it is the baseline of Shi et al. (see `QuotientRemainder`).
    """

    name = "hash"

    def __init__(self, field_sizes: Sequence[int], dim: int, size: int) -> None:
        super().__init__(field_sizes, dim, size)
        self._kept = np.minimum(self.field_sizes, self.size)
        self.shapes = {"table": (int(self._kept.sum()), self.dim)}

    @classmethod
    def sizes(cls, field_sizes: Sequence[int], dim: int) -> tuple[int, int]:
        return 1, max(field_sizes)

    def rows(self, rows: tf.Tensor, at: At) -> tf.Tensor:
        fields = self._fields(rows)
        within = rows - of_field(self.first[:-1], fields)
        start = np.cumsum(self._kept) - self._kept
        return at("table", of_field(start, fields) + within % of_field(self._kept, fields))
