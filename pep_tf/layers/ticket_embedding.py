"""An embedding table that holds only what a ticket keeps: retraining without the rest of the table."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.device import on_gpu
from pep_tf.layers.table_layer import TableLayer
from pep_tf.numbers import INT32_MAX
from pep_tf.tables import BLOCK_ENTRIES, RowTable, RowVariable
from pep_tf.tables.distinct import distinct, expand
from pep_tf.tables.picked import Picked

# What is the same for the entries as for V * mask.
_BY_ENTRY = (
    keras.regularizers.L1,
    keras.regularizers.L2,
    keras.regularizers.L1L2,
    keras.constraints.NonNeg,
)
_BLOCK_ROWS = 1 << 16  # rows unpacked at a time when the whole table is read


@keras.saving.register_keras_serializable(package="pep_tf")
class TicketEmbedding(TableLayer):
    """Looks up rows of `V * mask`, storing the entries under the mask and where they belong.

    Gives the same rows, and in training the same updates, as a `PEPEmbedding` under that mask. Memory
    is 4 bytes per entry kept (and as much for each moment of an optimizer), its column (1 byte for
    d up to 256), and 8 bytes per row with a survivor, 16 on a GPU; a row without one costs nothing. The entries are
    a table of one column, so that an optimizer treats them as any other table.

    Args:
        input_dim: number of features N.
        output_dim: embedding dimension d.
        nnz: entries kept.
        num_rows: rows with at least one of them.
        embeddings_regularizer, embeddings_constraint: of V * mask, as in `keras.layers.Embedding`.
            Those that do not work entry by entry, such as `MaxNorm`, take the memory of V at each
            step.
        mask_zero, combiner, field_sizes, stored_dtype: see `TableLayer`.

    Call arguments:
        inputs, weights: see `TableLayer`.

    Returns:
        `compute_dtype` tensor, shape `inputs.shape + (d,)`.

    Raises:
        ValueError: counts that contradict each other.

    Example:
        >>> mask = np.array([[True, False], [False, False], [True, True]])
        >>> layer = TicketEmbedding.of_mask(np.packbits(mask, axis=1), 2)
        >>> _ = layer.entries.assign([[1.0], [2.0], [3.0]])
        >>> layer(np.array([2, 1, 0])).numpy().tolist()
        [[2.0, 3.0], [0.0, 0.0], [1.0, 0.0]]
    """

    takes_steps = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        nnz: int,
        num_rows: int,
        *,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        if not 0 <= num_rows <= min(nnz, input_dim) or nnz > num_rows * output_dim:
            raise ValueError(
                "`num_rows` rows of `output_dim` must hold `nnz` entries, one each or more. "
                f"Received: {nnz=}, {num_rows=}, {input_dim=}, {output_dim=}"
            )
        if nnz > INT32_MAX:
            raise ValueError(
                f"`nnz` must be at most {INT32_MAX:,}: the places of entries are int32. Received: {nnz}"
            )
        self._nnz, self.num_rows = int(nnz), int(num_rows)
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = keras.constraints.get(embeddings_constraint)
        self.supports_jit = False  # how many entries a batch holds is not known in advance

    @classmethod
    def of_mask(cls, mask_bits: np.ndarray, output_dim: int, **kwargs: Any) -> "TicketEmbedding":
        """A built layer with zeros under this mask: uint8 [N, ceil(d / 8)] by `numpy.packbits`."""
        places = _places(mask_bits, output_dim)
        layer = cls(len(mask_bits), output_dim, len(places[2]), len(places[0]), **kwargs)
        layer.build()
        for variable, value in zip((layer.rows, layer.starts, layer.columns), places, strict=True):
            variable.assign(value)
        return layer

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self.entries = RowVariable(
            "zeros",
            shape=(max(1, self._nnz), 1),
            dtype=self.variable_dtype,
            trainable=self.trainable,
            autocast=False,
            name="table",
        )
        RowTable([self.entries], single=True)
        if (regularizer := self.embeddings_regularizer) is not None:
            by_entry = type(regularizer) in _BY_ENTRY
            self.entries.regularizer = regularizer if by_entry else _Regularizer(self)
        if (constraint := self.embeddings_constraint) is not None:
            by_entry = type(constraint) in _BY_ENTRY
            self.entries.constraint = constraint if by_entry else _Constraint(self)

        def index(name: str, size: int, dtype: str) -> keras.Variable:
            return self.add_weight(
                name=name, shape=(size,), dtype=dtype, initializer="zeros", trainable=False
            )

        number = "int64" if on_gpu() else "int32"  # which TensorFlow keeps on the host
        self.rows = index("rows", self.num_rows, number)
        self.starts = index("starts", self.num_rows + 1, number)
        self.columns = index("columns", self._nnz, "uint8" if self.output_dim <= 256 else number)
        if self.steps is not None:
            self.steps.build(self)
        self.built = True

    def look_up(self, rows: tf.Tensor) -> tf.Tensor:
        rows = self.checked(rows)  # one outside the table would be as one that keeps nothing
        if (held := self.entries.row_table.held) is not None:
            values = tf.reshape(held.values[0], [-1, self.output_dim])
            dtype = self.compute_dtype if self.steps is None else "float32"
            values = self.as_stored(expand(values, held.places, dtype, held.order), rows)
            return tf.cast(values, self.compute_dtype)
        ids, places = distinct(rows)
        return expand(self.as_stored(self._rows_of(ids), ids), places, self.compute_dtype)

    def pick(self, ids: tf.Tensor, size: tf.Tensor) -> Picked:
        """Entries of distinct rows int64 [U] go to their places in the first of `size` rows."""
        entries, places = self._entries(ids)
        return Picked.of(entries, places, size * self.output_dim, max(1, self._nnz))

    @property
    def embeddings(self) -> tf.Tensor:
        """V * mask as it stands, differentiable, `compute_dtype` [N, d]."""
        return self.look_up(tf.range(self.input_dim))

    def _rows_of(self, ids: tf.Tensor) -> tf.Tensor:
        """Dense rows, float32 [U, d], of distinct ids [U]."""
        entries, places = self._entries(ids) if on_gpu() else self._entries_by_row(ids)
        found = self.entries.row_table.lookup(entries, distinct=True)
        values = found.values[0]
        if found.places is not None:
            values = expand(values, found.places, values.dtype)
        values = values[:, 0]
        # A fifth of the time of `tf.scatter_nd`, which sums what falls together: nothing does.
        rows = tf.raw_ops.SparseToDense(
            sparse_indices=places[:, None],
            output_shape=[tf.size(ids, places.dtype) * self.output_dim],
            sparse_values=values,
            default_value=0.0,
            validate_indices=False,
        )
        return tf.reshape(rows, [-1, self.output_dim])

    def _entries_by_row(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Entries of distinct rows `ids`, row by row, and their places in these rows, [n] each."""
        at = tf.searchsorted(self.rows._value, ids)
        # The added row lies beyond the table, so that a search past the end finds something.
        known = tf.concat([self.rows._value, [self.input_dim]], 0)
        owners = tf.where(tf.gather(known, at) == ids)[:, 0]
        at = tf.gather(at, owners)
        starts, ends = tf.gather(self.starts._value, at), tf.gather(self.starts._value, at + 1)
        entries = tf.ragged.range(starts, ends)
        columns = tf.cast(tf.gather(self.columns._value, entries.values), tf.int32)
        first = tf.cast(owners, tf.int32) * self.output_dim
        return entries.values, _for_each(first, entries.row_splits, tf.size(columns)) + columns

    def _entries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The same, int64, with nothing that a GPU has no kernel for: no ragged range, no int32."""
        if not self.num_rows:
            return tf.zeros([0], tf.int64), tf.zeros([0], tf.int64)

        def of(variable: keras.Variable, index: tf.Tensor) -> tf.Tensor:
            return tf.cast(tf.gather(variable._value, index), tf.int64)

        at = tf.searchsorted(tf.cast(self.rows._value, tf.int64), ids, out_type=tf.int64)
        at = tf.minimum(at, self.num_rows - 1)
        first = of(self.starts, at)
        counts = tf.where(of(self.rows, at) == ids, of(self.starts, at + 1) - first, 0)
        kept = tf.range(tf.constant(self.output_dim, tf.int64)) < counts[:, None]
        found = tf.where(kept)
        owners = found[:, 0]
        entries = tf.gather(first, owners) + found[:, 1]
        return entries, owners * self.output_dim + of(self.columns, entries)

    def places(self) -> tf.Tensor:
        """Where the entries are in V, row after row, int64 [nnz]."""
        starts = self.starts._value
        rows = tf.repeat(tf.cast(self.rows._value, tf.int64), starts[1:] - starts[:-1])
        return rows * self.output_dim + tf.cast(self.columns._value, tf.int64)

    def nnz(self) -> int:
        """Number of entries that are not zero."""
        return int(np.count_nonzero(self.entries.numpy())) if self.steps is None else super().nnz()

    def row_blocks(self) -> Iterator[np.ndarray]:
        """V * mask in row blocks float32 [n_i, d], in order, each made when it is asked for."""
        rows, starts = self.rows._value.numpy(), self.starts._value.numpy()
        columns = self.columns._value.numpy().astype(np.int64)
        values = self.entries.numpy()[: self._nnz, 0]
        size = max(1, BLOCK_ENTRIES // self.output_dim)
        for first in range(0, self.input_dim, size):
            block = np.zeros((min(size, self.input_dim - first), self.output_dim), np.float32)
            low, high = np.searchsorted(rows, [first, first + size])
            entries = slice(starts[low], starts[high])
            owners = np.repeat(rows[low:high] - first, np.diff(starts[low : high + 1]))
            block[owners, columns[entries]] = values[entries]
            yield (
                self.as_stored(block, tf.range(first, first + len(block))).numpy()
                if self.steps
                else block
            )

    def begin_steps(self) -> None:
        assert self.steps is not None
        table, places = (
            np.zeros((self.input_dim, self.output_dim), np.float32),
            self.places().numpy(),
        )
        table.flat[places] = self.entries.numpy()[: self._nnz, 0]
        kept = np.zeros(table.shape, bool)
        kept.flat[places] = True
        self.steps.begin(table, kept)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "nnz": self._nnz,
            "num_rows": self.num_rows,
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
            "embeddings_constraint": keras.constraints.serialize(self.embeddings_constraint),
        }


class _Regularizer(keras.regularizers.Regularizer):
    """The term of V * mask, from its entries."""

    def __init__(self, layer: TicketEmbedding) -> None:
        self._layer = layer

    def __call__(self, entries: Any) -> Any:
        places = self._layer.places()
        return self._layer.embeddings_regularizer(_filled(self._layer, places, entries))


class _Constraint(keras.constraints.Constraint):
    """The entries of V * mask after its constraint."""

    def __init__(self, layer: TicketEmbedding) -> None:
        self._layer = layer

    def __call__(self, entries: Any) -> tf.Tensor:
        places, size = self._layer.places(), self._layer.entries.shape[0]
        table = self._layer.embeddings_constraint(_filled(self._layer, places, entries))
        kept = tf.gather(tf.reshape(table, [-1]), places)
        return tf.pad(kept[:, None], [[0, size - tf.size(places)], [0, 0]])


def _filled(layer: TicketEmbedding, places: tf.Tensor, entries: Any) -> tf.Tensor:
    """V * mask, [N, d], of entries [max(1, nnz), 1]."""
    values = tf.convert_to_tensor(entries)[: tf.size(places), 0]
    size = tf.constant([layer.input_dim * layer.output_dim], tf.int64)
    flat = tf.scatter_nd(places[:, None], values, size)
    return tf.reshape(flat, [layer.input_dim, layer.output_dim])


def _for_each(numbers: tf.Tensor, splits: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The row number of each entry, int32 [size]; no row is without an entry.

    Sums of what changes where a row begins; `tf.repeat` would make a mask as wide as the longest row.
    """
    steps = numbers - tf.concat([[0], numbers[:-1]], 0)
    starts = tf.cast(splits[:-1], tf.int32)
    changes = tf.raw_ops.SparseToDense(
        sparse_indices=starts[:, None],
        output_shape=[size],
        sparse_values=steps,
        default_value=0,
        validate_indices=False,
    )
    return tf.cumsum(changes)


def _places(mask_bits: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with a survivor [K], where the entries of each start [K + 1], columns [nnz]."""
    counts, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(mask_bits), _BLOCK_ROWS):
        block = np.unpackbits(mask_bits[start : start + _BLOCK_ROWS], axis=1, count=dim)
        counts.append(block.sum(axis=1, dtype=np.int64))
        columns.append(np.nonzero(block)[1])
    count = np.concatenate(counts)
    (rows,) = np.nonzero(count)
    return rows, np.concatenate([[0], np.cumsum(count[rows])]), np.concatenate(columns)
