"""Mixed dimensions: the fewer features a field has, the wider its embeddings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.tables.small.scheme import At, Scheme, of_field

ALPHA = 0.3  # of the paper's experiments on click logs


class MixedWidths(Scheme):
    """Embeddings of a field of n features have width `size (n / smallest n)^-0.3`, rounded, 1 at least.

    A feature's popularity is taken as 1 / n. A matrix for each field projects its rows to the widest
    field's width, and zeros fill up what that is below `dim`.

    Reference:
        Ginart et al., "Mixed Dimension Embeddings with Application to Memory-Efficient Recommendation
        Systems", 2019, arXiv 1909.11810; its power law by popularity, with widths that are no powers
        of two.
    """

    name = "mde"

    def __init__(self, field_sizes: Sequence[int], dim: int, size: int) -> None:
        super().__init__(field_sizes, dim, size)
        sizes = np.array(self.field_sizes)
        law = self.size * (sizes / sizes.min()) ** -ALPHA
        self.widths = np.clip(np.rint(law).astype(int), 1, self.size)
        self._projected = self.widths < self.size
        self._starts, self._matrices = np.zeros_like(sizes), np.zeros_like(sizes)
        self.shapes = {}
        for width in sorted(set(self.widths.tolist())):
            own = self.widths == width
            self._starts[own] = (np.cumsum(sizes * own) - sizes * own)[own]
            self.shapes[f"width_{width}"] = (int(sizes[own].sum()), width)
        inner = self.widths * self._projected
        self._matrices = np.cumsum(inner) - inner
        if inner.any():
            self.shapes["projections"] = (int(inner.sum()), self.size)

    @classmethod
    def sizes(cls, field_sizes: Sequence[int], dim: int) -> tuple[int, int]:
        return 1, dim

    def initial(self, table: str) -> Any:
        return super().initial(table) if table != "projections" else "glorot_uniform"

    def rows(self, rows: tf.Tensor, at: At) -> tf.Tensor:
        fields = self._fields(rows)
        places = rows - of_field(self.first[:-1] - self._starts, fields)
        if "projections" in self.shapes:
            matrices = at("projections", tf.range(self.shapes["projections"][0]))
        found, order = [], []
        for width in sorted(set(self.widths.tolist())):  # each table is looked up once
            of_width = tf.where(tf.equal(of_field(self.widths, fields), width))
            numbers = at(f"width_{width}", tf.gather_nd(places, of_width))
            if width == self.size:
                found.append(numbers)
                order.append(of_width)
                continue
            own_fields = tf.gather_nd(fields, of_width)
            for field in np.flatnonzero(self.widths == width).tolist():
                own = tf.where(tf.equal(own_fields, field))
                first = int(self._matrices[field])
                found.append(tf.gather_nd(numbers, own) @ matrices[first : first + width])
                order.append(tf.gather_nd(of_width, own))
        back = tf.cast(tf.concat(order, axis=0), tf.int32)
        place = tf.scatter_nd(back, tf.range(tf.size(rows)), [tf.size(rows)])
        wide = tf.gather(tf.concat(found, axis=0), place)
        return tf.pad(wide, [[0, 0], [0, self.dim - self.size]])
