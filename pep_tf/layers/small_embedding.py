"""An embedding whose rows are made of few numbers: hashed, composed, or of mixed widths."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.layers.table_layer import TableLayer
from pep_tf.tables import BLOCK_ENTRIES, RowTable, RowVariable
from pep_tf.tables.distinct import expand
from pep_tf.tables.small import SCHEMES
from pep_tf.tables.small.small_table import SmallTable


@keras.saving.register_keras_serializable(package="pep_tf")
class SmallEmbedding(TableLayer):
    """Looks up rows that are made of the rows of a few small tables.

    Args:
        input_dim: number of features N.
        output_dim: embedding dimension d.
        scheme: `"hash"`, `"qr"`, `"mde"` or `"mgqe"`; see `pep_tf.tables.small`.
        size: what sets how large the tables are, see the scheme; `SCHEMES[name].fitting` finds that of
            a budget.
        mask_zero, combiner, field_sizes: see `TableLayer`. Without `field_sizes` there is one field.

    Call arguments:
        inputs, weights: see `TableLayer`.

    Raises:
        ValueError: an unknown scheme, or what `TableLayer` refuses.

    Example:
        >>> layer = SmallEmbedding(10, 4, "hash", 3)
        >>> rows = layer(np.array([1, 4, 2])).numpy()
        >>> bool((rows[0] == rows[1]).all()), layer.scheme.numbers
        (True, 12)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        scheme: str,
        size: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        if scheme not in SCHEMES:
            raise ValueError(f"`scheme` must be one of {list(SCHEMES)}. Received: {scheme!r}")
        sizes = self.field_sizes or [self.input_dim]
        self.scheme = SCHEMES[scheme](sizes, self.output_dim, size)
        self.supports_jit = False  # how many rows of a table a batch holds is not known in advance

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self.tables: dict[str, RowVariable] = {}
        for name, shape in self.scheme.shapes.items():
            variable = RowVariable(
                keras.initializers.get(self.scheme.initial(name)),
                shape=shape,
                dtype=self.variable_dtype,
                trainable=self.trainable and self.scheme.trained(name),
                autocast=False,
                name=name,
            )
            RowTable([variable])
            self.tables[name] = variable
        self.built = True

    def begin(self, counts: np.ndarray) -> None:
        """Gives the scheme the number of times each feature occurs in training rows [N], before training."""
        for name, table in self.scheme.begin(counts).items():
            self.tables[name].assign(table)

    def look_up(self, rows: tf.Tensor) -> tf.Tensor:
        flat = self.checked(tf.reshape(rows, [-1]))
        found = tf.cast(self.scheme.rows(flat, self._at), self.compute_dtype)
        return tf.reshape(found, tf.concat([tf.shape(rows), [self.output_dim]], axis=0))

    def _at(self, name: str, places: tf.Tensor) -> tf.Tensor:
        found = self.tables[name].row_table.lookup(places)
        values = found.values[0]
        return values if found.places is None else expand(values, found.places, values.dtype)

    @property
    def embeddings(self) -> tf.Tensor:
        """The whole table that the small ones make, differentiable, `compute_dtype` [N, d]."""
        return self.look_up(tf.range(self.input_dim))

    def row_blocks(self) -> Iterator[np.ndarray]:
        size = max(1, BLOCK_ENTRIES // self.output_dim)
        for start in range(0, self.input_dim, size):
            rows = tf.range(start, min(start + size, self.input_dim))
            yield self.scheme.rows(rows, self._at).numpy()

    def nnz(self) -> int:
        """Numbers that are stored; see `Scheme.numbers`."""
        return self.scheme.numbers

    def stored_form(self, dtype: str) -> SmallTable:
        super().stored_form(dtype)  # which refuses those that round in training
        tables = {name: variable.numpy() for name, variable in self.tables.items()}
        return SmallTable.of(self.scheme, tables, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scheme": self.scheme.name,
            "size": self.scheme.size,
        }
