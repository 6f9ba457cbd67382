"""The embedding whose thresholds are trained: the heart of PEP."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pep_tf import distributed
from pep_tf.device import dense_below, on_gpu
from pep_tf.layers.table_layer import TableLayer
from pep_tf.numbers import real
from pep_tf.tables import (
    THRESHOLDS,
    Found,
    RowTable,
    RowVariable,
    granularity_of,
    soft_threshold,
)
from pep_tf.tables.distinct import expand
from pep_tf.tables.pull import Pull
from pep_tf.tables.row_table import is_exported
from pep_tf.tables.row_variable import Cut
from pep_tf.tables.sharded_table import ShardedTable, rows_of

PRUNING = ("threshold", "none")


class PEPRows(NamedTuple):
    """Rows of a `PEPEmbedding`.

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


@keras.saving.register_keras_serializable(package="pep_tf")
class PEPEmbedding(TableLayer):
    """A `keras.layers.Embedding` that learns which of its entries to keep.

    A lookup returns rows of `E = sign(V) * relu(|V| - g(s))`, V being the table, s the thresholds and
    g the gate; as g(s) grows, entries of E become exactly zero. Only the rows that are asked for are
    read and thresholded. With `pruning="none"` it returns rows of V.

    It takes the place of `keras.layers.Embedding` in any model, and any optimizer trains it. With
    `RowwiseAdam` a step costs what the rows of its batch cost; `CoupledAdam` is the paper's update of
    the whole table. Every other optimizer updates the whole table too, and finds a pull of the
    thresholds (`threshold_pull`) in their gradient: without it hardly anything would be pruned.

    Args:
        input_dim: number of features N.
        output_dim: embedding dimension d before pruning. The paper uses 64.
        granularity: `"feature_dim"` (default; one threshold per entry), `"feature"`, `"dimension"`,
            `"global"`, `"field"` or `"field_dim"`; see `Granularity`.
        threshold_init: s before training; the paper takes -15 for MovieLens-1M and -150 for Criteo
            and Avazu. s climbs by about one learning rate a step.
        gate: g, a function that XLA can compile or the name of a Keras activation. It must not be
            negative.
        pruning: `"threshold"` or `"none"`.
        embeddings_initializer: V before training; the paper's is Xavier uniform over the table.
        embeddings_regularizer, embeddings_constraint: of V, as in `keras.layers.Embedding`. Each
            looks at the whole table, which is then updated whole.
        threshold_pull, threshold_target, threshold_learning_rate: see `Pull`, whose arguments
            `strength`, `target` and `learning_rate` they are.
        weights: V before training, float [N, d], in place of the initializer's.
        mask_zero, combiner, field_sizes, stored_dtype: see `TableLayer`. The granularities `"field"` and `"field_dim"`
            need `field_sizes`.

    Call arguments:
        inputs, weights: see `TableLayer`.

    Returns:
        `compute_dtype` tensor, shape `inputs.shape + (d,)`. Weights stay float32 in mixed precision.

    Raises:
        ValueError: a dimension below 1, an unknown granularity or pruning, `field_sizes` that are
            missing or do not sum to N, or what `TableLayer` refuses.

    Example:
        >>> layer = PEPEmbedding(10, 4, threshold_init=-15.0)
        >>> layer(np.array([[1, 2, 3]])).shape
        TensorShape([1, 3, 4])

    Reference:
        Liu et al., "Learnable Embedding Sizes for Recommender Systems", ICLR 2021, arXiv 2101.07577.
    """

    takes_steps = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        granularity: str = "feature_dim",
        threshold_init: float = -15.0,
        gate: str | Callable[[tf.Tensor], tf.Tensor] = "sigmoid",
        pruning: str = "threshold",
        embeddings_initializer: Any = "glorot_uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        threshold_pull: float | None = None,
        threshold_target: float = 0.0,
        threshold_learning_rate: float | None = None,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        if pruning not in PRUNING:
            raise ValueError(f"`pruning` must be one of {list(PRUNING)}. Received: {pruning!r}")
        if pruning == "threshold" and self.steps is not None:
            raise ValueError(
                "`stored_dtype` is for pruning='none': a threshold moves what is kept."
            )
        self.granularity = granularity_of(granularity)
        if self.granularity.by_field and self.field_sizes is None:
            raise ValueError(f"`field_sizes` must be given for granularity {granularity!r}.")
        self.threshold_init = real("threshold_init", threshold_init)
        self.gate = keras.activations.get(gate)
        self.pruning = pruning
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = keras.constraints.get(embeddings_constraint)
        self.pull = Pull(threshold_pull, threshold_target, threshold_learning_rate)
        # Only a number of rows that is known in advance can be compiled: that of the table, but not
        # that of a batch.
        self.supports_jit = on_gpu() and self.input_dim * self.output_dim < dense_below()
        self.table: RowVariable
        self.thresholds: keras.Variable | None = None
        if weights is not None:
            self.build()
            whole = weights[0] if isinstance(weights, list) else weights
            self.table.assign(self.table.row_table.part_of(whole))

    @property
    def prunable(self) -> bool:  # type: ignore[override]
        return self.pruning == "threshold"

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        group = distributed.current()
        if group is not None and not group.shards(self.input_dim):
            group = None
        num_rows = self.input_dim if group is None else rows_of(group, self.input_dim)
        shape: tuple[int, ...] = (num_rows, self.output_dim)
        self.table = self._row_variable("table", shape, self._initial_table)
        self.table.regularizer = self.embeddings_regularizer
        self.table.constraint = self.embeddings_constraint
        variables = [self.table]
        if self.pruning == "threshold":
            shape = self.granularity.shape(num_rows, *self._counts())
            if self.granularity.by_feature:
                self.thresholds = self._row_variable(THRESHOLDS, shape, self._initial_thresholds)
                self.thresholds.cut = Cut(self.table, self.gate)
                variables.append(self.thresholds)
            else:
                self.thresholds = self.add_weight(
                    name=THRESHOLDS,
                    shape=shape,
                    initializer=self._initial_thresholds,
                    autocast=False,
                )
            self.thresholds.pull = self.pull
        if group is None:
            RowTable(variables)
        else:
            ShardedTable(variables, group, self.input_dim)
        if self.steps is not None:
            self.steps.build(self)
        self.built = True

    def _row_variable(self, name: str, shape: tuple[int, ...], initializer: Any) -> RowVariable:
        # autocast=False: mixed precision would otherwise copy and cast the whole table at each read.
        return RowVariable(
            initializer,
            shape=shape,
            dtype=self.variable_dtype,
            trainable=self.trainable,
            autocast=False,
            name=name,
        )

    def _initial_table(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        """Draws V; within a function it is scaled in place, where two more tables would be made."""
        whole, group = (self.input_dim, self.output_dim), distributed.current()
        own = slice(None)
        if group is not None and shape != whole:  # the rows of this worker, of the same draw
            own = slice(group.rank, None, group.size)
        draw = tf.function(
            lambda: self.embeddings_initializer(whole, dtype=dtype)[own], autograph=False
        )
        return draw.get_concrete_function()()  # called itself, it warns of many tables

    def _initial_thresholds(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        return tf.fill(shape, tf.constant(self.threshold_init, dtype))  # no second one, as above

    def _counts(self) -> tuple[int, int]:
        return len(self.field_sizes or ()), self.output_dim

    def look_up(self, rows: tf.Tensor) -> tf.Tensor:
        return self.effective_rows(self.table.row_table.lookup(rows))

    def effective_rows(self, found: Found) -> tf.Tensor:
        """E of what a lookup in the layer's table found, at the places that were asked for."""
        rows = self._rows(found)
        values = rows.table
        if rows.thresholds is not None:
            # The number of distinct rows is padded to a few sizes, so XLA compiles few shapes.
            fused = rows.places is not None
            values = soft_threshold(values, rows.thresholds, self.gate, fused=fused)
        values = self.as_stored(values, self._numbers(rows.ids))
        if rows.places is not None:
            values = expand(values, rows.places, self.compute_dtype, found.order)
        values = tf.cast(values, self.compute_dtype)
        return values if found.route is None else found.route.back(values)

    def _rows(self, found: Found) -> PEPRows:
        """V and s of what a lookup found in the layer's table, which may hold other layers' too."""
        table = self.table.row_table
        values = found.values[table.place(self.table)]
        return PEPRows(values, self._thresholds(found), found.ids, found.places)

    def _thresholds(self, found: Found) -> tf.Tensor | None:
        if self.thresholds is None:
            return None
        if self.granularity.by_feature:
            return found.values[self.table.row_table.place(self.thresholds)]
        stored = tf.convert_to_tensor(self.thresholds)
        if not is_exported():
            stored = self.pull.on(stored)
        groups = self.granularity.groups(self._numbers(found.ids), self.field_sizes)
        return stored if groups is None else tf.gather(stored, groups)

    def _numbers(self, ids: tf.Tensor) -> tf.Tensor:
        """The numbers in the whole table of rows of this process."""
        return self.table.row_table.numbers(ids)

    @property
    def embeddings(self) -> tf.Tensor:
        """E as it stands, differentiable, `compute_dtype` [N, d]."""
        if not self.built:
            raise AttributeError("You must build the layer before accessing `embeddings`.")
        return self.look_up(tf.range(self.input_dim))

    def read(self, rows: tf.Tensor) -> PEPRows:
        """V and s of just these rows [n] of this process as they stand; reading them changes nothing."""
        return self._rows(self.table.row_table.read(rows))

    def blocks(self) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        """Walks the table in blocks of bounded memory, changing nothing; of a sharded one this worker's part.

        Yields:
            First row of the block; E of the block, float32 [rows, d]; the score of its entries,
            float32 [rows, d] (see `effective`).
        """
        for start, ids in self.table.row_table.blocks():
            yield start, *self.effective(self.read(ids))

    def effective(self, rows: PEPRows) -> tuple[tf.Tensor, tf.Tensor]:
        """E of these rows and the score of their entries, float32 [n, d].

        The score is `|V| - g(s)`, positive where an entry is kept. Without pruning it is |E|.
        """
        if rows.thresholds is None:
            values = self.as_stored(rows.table, self._numbers(rows.ids))
            return values, tf.abs(values)
        score = tf.abs(rows.table) - self.gate(rows.thresholds)
        return tf.sign(rows.table) * tf.nn.relu(score), score

    def current(self) -> tuple[np.ndarray, np.ndarray | None]:
        """V [N, d] and s as they stand, float32; None without thresholds."""
        return self.table.numpy(), None if self.thresholds is None else self.thresholds.numpy()

    def nnz(self) -> int:
        """Number of non-zero entries of E."""
        own = sum(int(tf.math.count_nonzero(block)) for _, block, _ in self.blocks())
        table = self.table.row_table
        return sum(table.group.gather_objects(own)) if isinstance(table, ShardedTable) else own

    def row_blocks(self) -> Iterator[np.ndarray]:
        """E in row blocks float32 [n_i, d], in order."""
        return (block.numpy() for _, block, _ in self.blocks())

    def begin_steps(self) -> None:
        assert self.steps is not None
        table = self.table.numpy()
        self.steps.begin(table, np.ones(table.shape, bool))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "granularity": self.granularity.name,
            "threshold_init": self.threshold_init,
            "gate": keras.activations.serialize(self.gate),
            "pruning": self.pruning,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
            "embeddings_constraint": keras.constraints.serialize(self.embeddings_constraint),
            "threshold_pull": self.pull.strength,
            "threshold_target": self.pull.target,
            "threshold_learning_rate": self.pull.learning_rate,
        }
