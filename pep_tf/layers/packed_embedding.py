"""An embedding that only serves: a pruned table in few bytes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.layers.table_layer import TableLayer
from pep_tf.tables import BLOCK_ENTRIES
from pep_tf.tables.packed import FORMS, Entries, StoredTable, pack, shared_lookup


@keras.saving.register_keras_serializable(package="pep_tf")
class PackedEmbedding(TableLayer):
    """Looks up rows of a table whose entries are mostly zero, stored in few bytes.

    Its weights, all untrainable, are the arrays in which `pep_tf.tables.packed` stores the table. Their
    shapes are part of the configuration, so that a `.keras` file is as small as the table. Make one by
    `from_blocks`.

    Args:
        input_dim: number of features N.
        output_dim: embedding dimension d.
        form: name of the stored form, one of `FORMS`.
        facts: what the form has to know of the table besides its weights.
        parts: `{name: [shape, dtype]}` of the weights.
        mask_zero, combiner: see `TableLayer`.

    Call arguments:
        inputs, weights: see `TableLayer`. An id outside of [0, N) raises on a CPU, as in
            `keras.layers.Embedding`.

    Raises:
        ValueError: an unknown form, or facts of a table of another shape.

    Example:
        >>> layer = PackedEmbedding.from_blocks([np.float32([[0, 0], [1, 0], [0, 2]])])
        >>> layer(np.array([2, 0])).numpy().tolist()
        [[0.0, 2.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        form: str,
        facts: Mapping[str, Any],
        parts: Mapping[str, Sequence[Any]],
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        if form not in FORMS:
            raise ValueError(f"`form` must be one of {list(FORMS)}. Received: {form!r}")
        if (facts["num_rows"], facts["dim"]) != (self.input_dim, self.output_dim):
            raise ValueError(
                f"`facts` must be of a table of {self.input_dim} x {self.output_dim}. Received: "
                f"{facts['num_rows']} x {facts['dim']}"
            )
        self.form, self.facts = form, dict(facts)
        self.parts = {name: (tuple(shape), str(dtype)) for name, (shape, dtype) in parts.items()}
        self.supports_jit = False  # how many entries a batch holds is not known in advance

    @classmethod
    def from_blocks(
        cls,
        row_blocks: Iterable[np.ndarray] | Entries,
        *,
        dtype: str = "float32",
        field_sizes: Sequence[int] | None = None,
        room: int = 0,
        policy: Any = None,
        **kwargs: Any,
    ) -> "PackedEmbedding":
        """A built layer of row blocks float32 [n_i, d] in order, only one of which is held at a time.

        Args:
            row_blocks: of the table.
            dtype: how its numbers are stored: `"float32"`, `"float16"`, `"int8"` or `"int4"`.
            field_sizes: rows of each field, N in all; None for a table of one field.
            room: see `pack`.
            policy: dtype policy of the layer, which says what rows are cast to.
            **kwargs: further arguments of the layer, such as `mask_zero` or `name`.
        """
        table = pack(row_blocks, dtype=dtype, field_sizes=field_sizes, room=room)
        return cls.of(table, policy=policy, **kwargs)

    @classmethod
    def of(cls, table: StoredTable, *, policy: Any = None, **kwargs: Any) -> "PackedEmbedding":
        """A built layer of a table whose arrays are NumPy's; arguments as for `from_blocks`."""
        parts = {name: [list(a.shape), a.dtype.name] for name, a in table.arrays.items()}
        arguments: dict[str, Any] = {
            "form": type(table).__name__,
            "facts": table.facts,
            "parts": parts,
        }
        layer = cls(table.num_rows, table.dim, **arguments, dtype=policy, **kwargs)
        layer.load(table.arrays)
        return layer

    def load(self, arrays: Mapping[str, Any]) -> None:
        """Sets what is stored, by name."""
        self.build()
        for name, weight in self.stored.items():
            weight.assign(arrays[name])

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored, by name."""
        return {name: weight.numpy() for name, weight in self.stored.items()}

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self.stored = {
            name: self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer="zeros",
                trainable=False,
                autocast=False,
            )
            for name, (shape, dtype) in self.parts.items()
        }
        self.built = True

    def look_up(self, rows: tf.Tensor) -> tf.Tensor:
        flat = self.checked(tf.reshape(rows, [-1]))
        found = tf.cast(shared_lookup(self.stored_table(), flat), self.compute_dtype)
        return tf.reshape(found, tf.concat([tf.shape(rows), [self.output_dim]], axis=0))

    @property
    def embeddings(self) -> tf.Tensor:
        """The table as it is served, `compute_dtype` [N, d]."""
        return self.look_up(tf.range(self.input_dim))

    def row_blocks(self) -> Iterator[np.ndarray]:
        table, size = self.stored_table(), max(1, BLOCK_ENTRIES // self.output_dim)
        for start in range(0, self.input_dim, size):
            yield table.lookup(tf.range(start, min(start + size, self.input_dim))).numpy()

    def stored_table(self) -> StoredTable:
        """The table in its stored form, over the numbers of the weights."""
        numbers = {name: tf.convert_to_tensor(w.value) for name, w in self.stored.items()}
        return FORMS[self.form](numbers, self.facts)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "form": self.form,
            "facts": self.facts,
            "parts": {name: [list(shape), dtype] for name, (shape, dtype) in self.parts.items()},
        }
