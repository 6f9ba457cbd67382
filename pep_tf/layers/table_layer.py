"""What all embeddings of this package share with `keras.layers.Embedding`: ids in, rows out."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common.stateless_scope import in_stateless_scope

from pep_tf.data.schema import COMBINERS
from pep_tf.errors import ModelError
from pep_tf.numbers import whole, wholes
from pep_tf.tables.distinct import wide
from pep_tf.tables.learned_steps import LearnedSteps
from pep_tf.tables.packed.stepped_table import SteppedTable
from pep_tf.tables.packed.stored_table import StoredTable
from pep_tf.tables.packed.values import LEARNED

_REFUSED = {
    "lora_rank": "low-rank updates would be added to entries that pruning has removed",
    "lora_alpha": "low-rank updates would be added to entries that pruning has removed",
    "quantization_config": "quantise by the export, `pep_tf.export(model, folder, dtype='int8')`",
}


class TableLayer(keras.layers.Layer):
    """Base of the embeddings: subclasses say in `look_up` how rows are found.

    Args:
        input_dim: number of features N, at least 1.
        output_dim: embedding dimension d, at least 1.
        mask_zero: whether id 0 is padding, as in `keras.layers.Embedding`. In a bag such an id does
            not count.
        combiner: None, or how the rows of a bag, the last axis of the ids, become one: `"sum"`,
            `"mean"` or `"sqrtn"` (the sum over the root of the sum of squared weights), as in
            `keras_rs.layers.EmbedReduce`. Ids [B] are bags of one each.
        field_sizes: vocabulary sizes of the fields whose rows follow each other in the table, N in
            all; None for a table of one field.
        stored_dtype: `"lsq8"` or `"lsq4"`: what is looked up is rounded to what will be stored, by steps
            that are trained, see `LearnedSteps`; None: it is not.

    Attributes:
        prunable: whether it has thresholds that are trained.
        takes_steps: whether it can have a `stored_dtype`.
        steps: those by which it rounds, or None.

    Call arguments:
        inputs: ids of any shape, in [0, N); a `tf.RaggedTensor`, too, and with a combiner a
            `tf.SparseTensor`.
        weights: with a combiner: of each id, shape of `inputs`; 1 by default.

    Returns:
        `compute_dtype` tensor, shape `inputs.shape + (d,)`, of bags without the last axis of `inputs`.

    Raises:
        ValueError: an argument out of its range, or one of `keras.layers.Embedding` that these
            layers have no meaning for.
    """

    prunable = False
    takes_steps = False
    built: bool

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        mask_zero: bool = False,
        combiner: str | None = None,
        field_sizes: Sequence[int] | None = None,
        stored_dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        for name, reason in _REFUSED.items():
            if kwargs.pop(name, None) is not None:
                raise ValueError(f"`{name}` is not supported: {reason}.")
        super().__init__(**kwargs)
        if combiner is not None and combiner not in COMBINERS:
            raise ValueError(
                f"`combiner` must be None or one of {list(COMBINERS)}. Received: {combiner!r}"
            )
        self.input_dim = whole(
            "input_dim", input_dim, least=1
        )  # at most INT32_MAX, as ids are int32
        self.output_dim = whole("output_dim", output_dim, least=1)
        self.field_sizes = None
        if field_sizes is not None:
            self.field_sizes = wholes("field_sizes", field_sizes, least=1)
            if sum(self.field_sizes) != self.input_dim:
                raise ValueError(
                    f"`field_sizes` must sum to input_dim={self.input_dim}. Received: {field_sizes}"
                )
        self.steps = None
        if stored_dtype is not None:
            if not self.takes_steps:
                raise ValueError(
                    f"`stored_dtype` is not for a {type(self).__name__} like this one."
                )
            self.steps = LearnedSteps(stored_dtype, self.field_sizes, self.output_dim)
        self.mask_zero, self.combiner = bool(mask_zero), combiner
        self.supports_masking = self.mask_zero
        self.autocast = False  # ids are not cast; the rows are

    def look_up(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows int32 or int64 of any shape to `compute_dtype`, shape `rows.shape + (d,)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `look_up`.")

    def checked(self, rows: tf.Tensor) -> tf.Tensor:
        """The same rows as int32, for lookups that do not fail at a row outside the table."""
        whole_rows = wide(rows)  # int32 is compared on the host where there is a GPU
        inside = tf.reduce_all((whole_rows >= 0) & (whole_rows < self.input_dim))
        message = f"Ids of `{self.name}` must be in [0, {self.input_dim}). Received:"
        check = tf.debugging.Assert(inside, [message, rows], summarize=8)
        with tf.control_dependencies([] if check is None else [check]):
            return tf.cast(rows, tf.int32)

    def row_blocks(self) -> Iterator[np.ndarray]:
        """The effective table in row blocks float32 [n_i, d], in order; nothing is changed."""
        raise NotImplementedError(f"{type(self).__name__} must define `row_blocks`.")

    def stored_form(self, dtype: str) -> StoredTable | None:
        """How its table is stored where it has a form of its own; see `Values` for `dtype`.

        Raises:
            ModelError: a dtype by which its numbers are not rounded, while they are by another, or that
                rounds them in training, which it did not.
        """
        own = None if self.steps is None else self.steps.dtype
        if dtype != own and (dtype in LEARNED or (own and dtype != "float32")):
            raise ModelError(
                f"The numbers of {self.name!r} cannot be stored in {dtype}: they were trained as {own or 'float32'}. "
                f"{own or dtype} is for tickets: `ticket.retrain(data, dtype={own or dtype!r})`."
            )
        if self.steps is None or dtype == "float32":
            return None
        return SteppedTable.of(
            self.code_blocks(), self.steps.values().numpy(), dtype, self.field_sizes
        )

    def begin_steps(self) -> None:
        """Starts its steps from the numbers that it has, as they are before rounding."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `begin_steps` if it `takes_steps`."
        )

    def code_blocks(self) -> Iterator[np.ndarray]:
        """The whole numbers of `row_blocks`, where it has steps."""
        assert self.steps is not None
        start = 0
        for block in self.row_blocks():
            yield self.steps.codes(block, start)
            start += len(block)

    def as_stored(self, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """float32 [..., d] of rows of the table [...] as they are stored, in training too."""
        return values if self.steps is None else self.steps.rounded(values, rows)

    def nnz(self) -> int:
        """Number of entries of the effective table that are not zero."""
        return sum(int(np.count_nonzero(block)) for block in self.row_blocks())

    def effective_table(self) -> np.ndarray:
        """The effective table, float32 [N, d]."""
        return np.concatenate(list(self.row_blocks()))

    def meet_optimizer(self) -> None:
        """Has an optimizer of this package that the model was compiled with take charge of tables.

        Keras builds an optimizer after the first forward pass was traced, which would read the rows
        as they are stored for as long as that graph lives.
        """
        if in_stateless_scope():  # where no variable can be made
            return
        model = self._get_call_context().entry_layer
        if (
            model is self
        ):  # no model calls it; Keras would keep the context that was made for the question
            self._maybe_reset_call_context()
        own = _own_optimizer(model)
        if own is None or own.built or not model.built:
            return
        with tf.init_scope():
            build_optimizer(model)

    def call(self, inputs: Any, weights: Any = None) -> Any:
        self.meet_optimizer()
        if weights is not None and self.combiner is None:
            raise ValueError("`weights` are for bags: give the layer a `combiner`.")
        if isinstance(inputs, tf.RaggedTensor) and self.combiner is None:
            return inputs.with_flat_values(self.look_up(_integers(inputs.flat_values)))
        ids, counts = _filled(inputs, self.compute_dtype)
        ids = _integers(ids)
        values = self.look_up(ids)
        if self.combiner is None:
            return values
        single = ids.shape.rank == 1  # bags of one id each, whose weight matters to a sum alone
        if weights is not None and (not single or self.combiner == "sum"):
            given = tf.cast(_filled(weights, self.compute_dtype)[0], self.compute_dtype)
            if given.shape.rank != ids.shape.rank:
                raise ValueError(
                    f"`weights` must have the shape of the ids, {ids.shape}. Received: {given.shape}"
                )
            counts = given if counts is None else counts * given
        if self.mask_zero:
            known = tf.cast(wide(ids) != 0, self.compute_dtype)
            counts = known if counts is None else counts * known
        if single:
            values, counts = values[:, None], None if counts is None else counts[:, None]
        return combined(values, counts, self.combiner)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if not self.mask_zero or self.combiner is not None:
            return None
        return keras.ops.not_equal(inputs, 0)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...], weights_shape: Any = None
    ) -> tuple[int | None, ...]:
        bags = self.combiner is not None and len(input_shape) > 1
        kept = input_shape[:-1] if bags else input_shape
        return (*kept, self.output_dim)

    def compute_output_spec(self, inputs: Any, weights: Any = None) -> keras.KerasTensor:
        ragged = bool(getattr(inputs, "ragged", False)) and self.combiner is None
        shape = self.compute_output_shape(tuple(inputs.shape))
        return keras.KerasTensor(shape, dtype=self.compute_dtype, ragged=ragged)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "mask_zero": self.mask_zero,
            "combiner": self.combiner,
            "field_sizes": self.field_sizes,
            **({} if self.steps is None else {"stored_dtype": self.steps.dtype}),
        }


def build_optimizer(model: keras.Model) -> None:
    """Builds the optimizer of a model, one of this package knowing whether XLA compiles the steps."""
    if (own := _own_optimizer(model)) is not None:
        own.compiled = bool(model.jit_compile)
    model.optimizer.build(model.trainable_variables)


def _own_optimizer(model: Any) -> Any:
    """The optimizer of this package that a model was compiled with, or None."""
    optimizer = getattr(model, "optimizer", None)
    own = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
    return own if getattr(own, "keeps_tables", False) else None


def _integers(ids: Any) -> tf.Tensor:
    """Ids as integers that a lookup takes, as `keras.layers.Embedding` makes them."""
    ids = tf.convert_to_tensor(ids)
    return ids if ids.dtype in (tf.int32, tf.int64) else tf.cast(ids, tf.int32)


def _filled(values: Any, dtype: str) -> tuple[Any, tf.Tensor | None]:
    """A dense tensor, and 1 where it had a value and 0 where it was filled; None if it was dense."""
    if isinstance(values, tf.RaggedTensor):
        ones = tf.ones_like(values.flat_values, dtype)
        return values.to_tensor(), values.with_flat_values(ones).to_tensor()
    if isinstance(values, tf.SparseTensor):
        ones = tf.SparseTensor(
            values.indices, tf.ones_like(values.values, dtype), values.dense_shape
        )
        return tuple(tf.sparse.to_dense(tf.sparse.reorder(x)) for x in (values, ones))
    return values, None


def combined(values: tf.Tensor, counts: tf.Tensor | None, combiner: str) -> tf.Tensor:
    """Rows [..., n, d] with weights [..., n], or of 1, combined to [..., d]; an empty bag is zeros."""
    if counts is None:
        size = tf.cast(tf.shape(values)[-2], values.dtype)
        total = tf.reduce_sum(values, axis=-2)
        if combiner == "sum":
            return total
        return tf.math.divide_no_nan(total, size if combiner == "mean" else tf.sqrt(size))
    total = tf.reduce_sum(values * counts[..., None], axis=-2)
    if combiner == "sum":
        return total
    if combiner == "mean":
        size = tf.reduce_sum(counts, axis=-1, keepdims=True)
    else:
        size = tf.sqrt(tf.reduce_sum(tf.square(counts), axis=-1, keepdims=True))
    return tf.math.divide_no_nan(total, size)
