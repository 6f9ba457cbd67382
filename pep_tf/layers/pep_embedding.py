"""The embedding whose thresholds are trained: the heart of PEP."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from pep_tf.layers.granularity import Granularity
from pep_tf.layers.soft_threshold import soft_threshold
from pep_tf.layers.spread import spread

PRUNING = ("threshold", "mask", "none")
THRESHOLDS = "thresholds"  # name of the weight, by which optimizers know it
BLOCK_ENTRIES = 1 << 22  # entries of a block when the whole table is looked at: 16 MiB of float32


class Rows(NamedTuple):
    """Rows that were looked up.

    Attributes:
        table: V, float32 [n, d] or [..., d].
        thresholds: s, broadcastable to `table`; None without thresholds.
        ids: which rows these are, [n] or [...].
        places: None if `ids` are the rows that were asked for; else, for each of those, its place
            among `ids`.
    """

    table: tf.Tensor
    thresholds: tf.Tensor | None
    ids: tf.Tensor
    places: tf.Tensor | None = None


class RowSource(Protocol):
    """Where the layer reads V and s from; an optimizer that updates lazily puts its own here."""

    def take(self, rows: tf.Tensor, distinct: bool = False) -> Rows:
        """Rows of a batch, differentiable; `distinct` if none comes twice."""
        ...

    def look(self, rows: tf.Tensor) -> Rows:
        """Just these rows, [n], as they stand; looking at them changes nothing."""
        ...


@keras.saving.register_keras_serializable(package="pep_tf")
class PEPEmbedding(keras.layers.Layer):
    """An embedding table that learns which of its entries to keep.

    With `pruning="threshold"` a lookup returns rows of `E = sign(V) * relu(|V| - g(s))`, V being the
    table, s the thresholds and g the gate; as g(s) grows, entries of E become exactly zero. Only the
    rows that are asked for are read and thresholded. With `pruning="mask"` it returns rows of
    `V * mask` (the retraining of a ticket), with `pruning="none"` rows of V.

    Args:
        input_dim: number of features N.
        output_dim: embedding dimension d before pruning. The paper uses 64.
        granularity: `"feature_dim"` (default; one threshold an entry), `"feature"`, `"dimension"`,
            `"global"`, `"field"` or `"field_dim"`; see `Granularity`.
        threshold_init: s before training; the paper takes -15 for MovieLens-1M and -150 for Criteo
            and Avazu. s climbs by about one learning rate a step.
        gate: g, a function that XLA can compile or the name of a Keras activation. It must not be
            negative.
        pruning: `"threshold"`, `"mask"` or `"none"`.
        field_sizes: vocabulary sizes of the fields, whose sum is N; needed by the granularities
            `"field"` and `"field_dim"` only.
        embeddings_initializer: V before training; the paper's is Xavier uniform over the table.

    Call arguments:
        rows: integers of any shape, in [0, N).
        distinct: True promises that no row comes twice, so that an optimizer need not look for it.

    Returns:
        `compute_dtype` tensor, shape `rows.shape + (d,)`. Weights stay float32 in mixed precision.

    Raises:
        ValueError: a dimension below 1, an unknown granularity or pruning, or `field_sizes` that
            are missing or do not sum to N.

    Example:
        >>> layer = PEPEmbedding(10, 4, threshold_init=-15.0)
        >>> layer(np.array([[1, 2, 3]])).shape
        TensorShape([1, 3, 4])

    Reference:
        Liu et al., "Learnable Embedding Sizes for Recommender Systems", ICLR 2021, arXiv 2101.07577.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        granularity: str = "feature_dim",
        threshold_init: float = -15.0,
        gate: str | Callable[[tf.Tensor], tf.Tensor] = "sigmoid",
        pruning: str = "threshold",
        field_sizes: Sequence[int] | None = None,
        embeddings_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if input_dim < 1 or output_dim < 1:
            raise ValueError(
                "`input_dim` and `output_dim` must be at least 1. "
                f"Received: input_dim={input_dim}, output_dim={output_dim}"
            )
        if pruning not in PRUNING:
            raise ValueError(f"`pruning` must be one of {list(PRUNING)}. Received: {pruning!r}")
        self.granularity = Granularity(granularity)
        if self.granularity.by_field and (not field_sizes or sum(field_sizes) != input_dim):
            raise ValueError(
                f"`field_sizes` must sum to input_dim={input_dim} for granularity "
                f"{granularity!r}. Received: {field_sizes}"
            )
        self.input_dim, self.output_dim = int(input_dim), int(output_dim)
        self.threshold_init = float(threshold_init)
        self.gate = keras.activations.get(gate)
        self.pruning = pruning
        self.field_sizes = None if field_sizes is None else tuple(int(n) for n in field_sizes)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.source: RowSource = StoredRows(self)
        self.table: keras.Variable
        self.thresholds: keras.Variable | None = None
        self.mask: keras.Variable | None = None

    def build(self, input_shape: Any = None) -> None:
        shape = (self.input_dim, self.output_dim)
        # autocast=False: mixed precision would otherwise copy and cast the whole table at each read.
        self.table = self.add_weight(
            name="table", shape=shape, initializer=self._initial_table, autocast=False
        )
        if self.pruning == "threshold":
            self.thresholds = self.add_weight(
                name=THRESHOLDS,
                shape=self.granularity.shape(*self._counts()),
                initializer=self._initial_thresholds,
                autocast=False,
            )
        elif self.pruning == "mask":
            self.mask = self.add_weight(
                name="mask", shape=shape, dtype="bool", initializer="ones", trainable=False
            )
        self.built = True

    def _initial_table(self, shape: tuple[int, int], dtype: Any = None) -> tf.Tensor:
        """Draws V; within a function it is scaled in place, where two more tables would be made."""
        draw = tf.function(lambda: self.embeddings_initializer(shape, dtype=dtype))
        return draw.get_concrete_function()()  # called itself, it warns of many tables

    def _initial_thresholds(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        return tf.fill(shape, tf.constant(self.threshold_init, dtype))  # no second one, as above

    def _counts(self) -> tuple[int, int, int]:
        return self.input_dim, len(self.field_sizes or ()), self.output_dim

    def call(self, rows: tf.Tensor, distinct: bool = False) -> tf.Tensor:
        if rows.dtype not in (tf.int32, tf.int64):
            rows = tf.cast(rows, tf.int32)  # as `keras.layers.Embedding` does
        taken = self.source.take(rows, distinct)
        values = taken.table
        if taken.thresholds is not None:
            # Distinct rows come in few numbers, those of whole tiles.
            compiled = taken.places is not None
            values = soft_threshold(values, taken.thresholds, self.gate, compiled=compiled)
        if self.mask is not None:
            values *= tf.cast(tf.gather(self.mask._value, taken.ids), values.dtype)
        if taken.places is not None:
            return spread(values, taken.places, self.compute_dtype)
        return tf.cast(values, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape, self.output_dim)

    def field_of(self, rows: tf.Tensor) -> tf.Tensor:
        """Index of the field that each of `rows` belongs to; same shape, int32."""
        assert self.field_sizes is not None, "granularities by field have field sizes"
        ends = tf.constant(np.cumsum(self.field_sizes)[:-1], rows.dtype)
        fields = tf.searchsorted(ends, tf.reshape(rows, [-1]), side="right")
        return tf.reshape(fields, tf.shape(rows))

    def blocks(self) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        """Walks the whole table in blocks of bounded memory, changing nothing.

        Yields:
            First row of the block; E of the block, float32 [rows, d]; the score of its entries,
            float32 [rows, d] (see `effective`).
        """
        for start, rows in self._rows():
            yield start, *self.effective(rows)

    def effective(self, rows: Rows) -> tuple[tf.Tensor, tf.Tensor]:
        """E of these rows and the score of their entries, float32 [n, d].

        The score is `|V| - g(s)`, positive where an entry is kept. Under a mask or without pruning
        it is |E|.
        """
        table, thresholds = rows.table, rows.thresholds
        if self.mask is not None:
            table *= tf.cast(tf.gather(self.mask._value, rows.ids), table.dtype)
        if thresholds is None:
            return table, tf.abs(table)
        score = tf.abs(table) - self.gate(thresholds)
        return tf.sign(table) * tf.nn.relu(score), score

    def _rows(self) -> Iterator[tuple[int, Rows]]:
        size = max(1, BLOCK_ENTRIES // self.output_dim)
        for start in range(0, self.input_dim, size):
            ids = tf.range(start, min(start + size, self.input_dim))
            yield start, self.source.look(ids)

    def current(self) -> tuple[np.ndarray, np.ndarray | None]:
        """V [N, d] and s as they stand, float32; s broadcasts to V, None without thresholds."""
        found = [rows for _, rows in self._rows()]
        table = np.concatenate([rows.table.numpy() for rows in found])
        thresholds = [rows.thresholds.numpy() for rows in found if rows.thresholds is not None]
        if not thresholds:
            return table, None
        per_row = self.granularity.by_feature or self.granularity.by_field
        return table, np.concatenate(thresholds) if per_row else thresholds[0]

    def nnz(self) -> int:
        """Number of non-zero entries of E."""
        return sum(int(tf.math.count_nonzero(block)) for _, block, _ in self.blocks())

    def row_blocks(self) -> Iterator[np.ndarray]:
        """E in row blocks float32 [n_i, d], in order."""
        return (block.numpy() for _, block, _ in self.blocks())

    def effective_table(self) -> np.ndarray:
        """E, float32 [N, d]: as large as the table itself."""
        return np.concatenate(list(self.row_blocks()))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "granularity": self.granularity.name,
            "threshold_init": self.threshold_init,
            "gate": keras.activations.serialize(self.gate),
            "pruning": self.pruning,
            "field_sizes": self.field_sizes,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


class StoredRows:
    """Reads V and s just as the layer's weights hold them."""

    def __init__(self, layer: PEPEmbedding) -> None:
        self._layer = layer

    def take(self, rows: tf.Tensor, distinct: bool = False) -> Rows:
        # `._value` is the tf.Variable: gathering from the Keras variable would copy the table.
        return Rows(tf.gather(self._layer.table._value, rows), self.thresholds(rows), rows)

    def thresholds(self, rows: tf.Tensor) -> tf.Tensor | None:
        """s of these rows, None without thresholds."""
        layer = self._layer
        if layer.thresholds is None:
            return None
        stored = layer.thresholds._value
        if layer.granularity.by_feature:
            return tf.gather(stored, rows)
        if layer.granularity.by_field:
            return tf.gather(stored, layer.field_of(rows))
        return tf.convert_to_tensor(stored)

    def look(self, rows: tf.Tensor) -> Rows:
        return self.take(rows)
