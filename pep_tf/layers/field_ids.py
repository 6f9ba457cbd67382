"""From ids per field to rows of the shared table, with an error that names the field."""

import functools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.data.schema import FLOAT, FeatureSchema, Field
from pep_tf.layers.table_layer import combined
from pep_tf.numbers import INT32_MAX
from pep_tf.tables.distinct import wide


@keras.saving.register_keras_serializable(package="pep_tf")
class FieldIds(keras.layers.Layer):
    """Checks ids per field and adds each field's offset: `row = offset[field] + id`.

    Args:
        fields: `{field name: vocabulary size}`, in column order; a bag has `{"size": n, "width":
            values, "combiner": "mean"}` in place of its size, and `width` columns; a number "float".

    Call arguments:
        ids: integers [B, C]; C = F without bags. Those of a column must be in `[0, size of its field)`,
            but for a number, whose column has the bits of a float32.

    Returns:
        int32 [B, C], rows of one table shared by all fields (N = sum of the sizes).

    Raises:
        ValueError: no field, a size that is no integer or below 1, more than 2^31 - 1 features in all,
            or an input without F columns or of a type other than integers: mixed precision would
            round ids that are floats.
        tf.errors.InvalidArgumentError: an id outside its field's vocabulary. XLA drops such checks,
            which is why the layer asks Keras not to compile a model for XLA by default.

    Example:
        >>> FieldIds({"gender": 2, "age": 7})(np.array([[1, 3]])).numpy().tolist()
        [[1, 5]]
    """

    def __init__(self, fields: Mapping[str, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        parts = [Field.of(str(name), size) for name, size in fields.items()]
        sizes = [field.size for field in parts]
        if not sizes or not all(isinstance(n, numbers.Integral) and n >= 1 for n in sizes):
            raise ValueError(
                f"`fields` must map names to integer sizes of at least 1. Received: {fields}"
            )
        self.fields = {field.name: field.size_or_bag for field in parts}
        self.sizes = tuple(int(size) for size in sizes)
        self.num_features = sum(self.sizes)
        if self.num_features > INT32_MAX:
            raise ValueError(
                f"`fields` must have at most {INT32_MAX:,} features in all, whose rows are int32. "
                f"Received: {self.num_features:,}"
            )
        schema = FeatureSchema(tuple(parts))
        self._columns = schema.column_fields
        self._is_float, self._combines = schema.is_float, schema.combines
        self._parts = parts
        self.offsets = schema.offsets[self._columns]
        self.supports_jit = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] != len(self._columns):
            raise ValueError(
                f"`ids` must have {len(self._columns)} columns, one for each of "
                f"{[self._parts[field].name for field in self._columns]}. Received: shape={input_shape}"
            )
        self.built = True

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        self._refuse_floats(ids)
        ids = tf.cast(ids, tf.int64)  # narrower integers may not hold the sizes
        if self._is_float.any():
            ids = tf.where(self._is_float, tf.zeros_like(ids), ids)
        sizes = np.array(self.sizes, np.uint64)[self._columns]
        # As an unsigned number, a negative id is larger than any size.
        outside = tf.reduce_any(tf.bitcast(ids, tf.uint64) >= sizes)
        check = tf.cond(outside, lambda: self._complain(ids), lambda: tf.constant(True))
        with tf.control_dependencies([check]):
            # Added as int64: int32 is added on the host where there is a GPU.
            return tf.cast(ids + self.offsets, tf.int32)

    @staticmethod
    def _refuse_floats(ids: tf.Tensor | keras.KerasTensor) -> None:
        if not keras.backend.is_int_dtype(dtype := keras.backend.standardize_dtype(ids.dtype)):
            raise ValueError(
                "`ids` must be integers: of arrays `astype('int32')`, of inputs "
                f"`keras.Input(shape, dtype='int32')`. Received: dtype={dtype}"
            )

    def _complain(self, ids: tf.Tensor) -> tf.Tensor:
        """Fails with the name of a field that has an id outside its vocabulary."""
        columns = [(self._parts[field].name, self.sizes[field]) for field in self._columns]
        complain = _complaint(tuple(columns))
        if tf.executing_eagerly():  # a graph would add where it was made to what is wrong
            complain = complain.python_function
        return complain(tf.reshape(ids, [-1, len(columns)]))

    def combined(self, ids: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        """[B, F, d] of what was found [B, C, d] for ids [B, C]: bags become one, numbers count times theirs."""
        if not self._combines:
            return found
        weights = tf.cast(wide(ids) != 0, tf.float32)
        if self._is_float.any():
            numbers = tf.bitcast(tf.cast(ids, tf.int32), tf.float32)
            weights = tf.where(self._is_float, numbers, weights)
        return combine(self._parts, found, weights)

    def compute_output_spec(self, ids: keras.KerasTensor) -> keras.KerasTensor:
        self._refuse_floats(ids)
        return keras.KerasTensor(ids.shape, "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fields": self.fields}


@functools.lru_cache(maxsize=64)
def _complaint(columns: tuple[tuple[str, int], ...]) -> Any:
    """A `tf.function` that fails with the name of a column that has an id outside its field, given int64 [B, C].

    It is made once for all models of these columns: its six operations per column are a tenth of what a
    short run takes, where each graph has its own.

    Args:
        columns: names and sizes of their fields.
    """

    def complain(ids: tf.Tensor) -> tf.Tensor:
        checks = []
        for column, (name, size) in enumerate(columns):
            own = ids[:, column]
            message = f"Ids of field `{name}` (column {column}) must be in [0, {size}). Received:"
            # One assertion per field: its message is then a constant, which XLA can discard.
            inside = tf.reduce_all((own >= 0) & (own < size))
            checks.append(tf.debugging.Assert(inside, [message, own], 8))
        with tf.control_dependencies(checks):
            return tf.constant(False)

    signature = [tf.TensorSpec([None, len(columns)], tf.int64)]
    return tf.function(complain, signature, autograph=False)


def combine(fields: Sequence[Field], found: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[B, F, d] of embeddings [B, C, d], C columns of F fields, each of bags and numbers times its weight."""
    parts, start = [], 0
    for field in fields:
        own = slice(start, start + field.width)
        part, start = found[:, own], start + field.width
        if field.combiner is not None:
            counts = tf.cast(weights[:, own], found.dtype)
            combiner = "sum" if field.combiner == FLOAT else field.combiner
            part = combined(part, counts, combiner)[:, tf.newaxis]
        parts.append(part)
    return tf.concat(parts, axis=1)
