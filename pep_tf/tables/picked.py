"""Entries of a wholly updated table, within a step that XLA compiles: gathers in both directions."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Picked(NamedTuple):
    """Which rows of a table go to which places, both ways as a gather.

    A scatter of XLA's would be sequential, or sum in no fixed order.

    Attributes:
        rows: of each place, int64 [n]; -1: none, zeros come there.
        places: of each row, int64 [N]; -1: it is not picked.
    """

    rows: tf.Tensor
    places: tf.Tensor

    @classmethod
    def of(cls, rows: tf.Tensor, places: tf.Tensor, size: tf.Tensor, num_rows: int) -> "Picked":
        """For distinct rows at distinct places, int64 [m] each, among `size` places."""
        return cls(_inverse(places, rows, size), _inverse(rows, places, num_rows))

    def of_table(self, table: tf.Tensor) -> tf.Tensor:
        """The row of a table [N, width] at each place, float32 [n, width]; differentiable."""

        @tf.custom_gradient
        def picked(table: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            return _gathered(table, self.rows), lambda upstream: _gathered(upstream, self.places)

        return picked(table)


def _inverse(index: tf.Tensor, values: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    """`values` at `index`, -1 elsewhere, int64 [size]."""
    return tf.raw_ops.SparseToDense(
        sparse_indices=index[:, None],
        output_shape=tf.cast([size], tf.int64),
        sparse_values=values,
        default_value=tf.constant(-1, tf.int64),
        validate_indices=False,
    )


def _gathered(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Rows of `values`, zeros where `index` is -1."""
    return tf.where((index >= 0)[:, None], tf.gather(values, tf.maximum(index, 0)), 0.0)
