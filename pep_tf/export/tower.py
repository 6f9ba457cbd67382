"""A snapshot of a model's tower: its arithmetic with a copy of the variables that it reads."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, Protocol

import keras
import tensorflow as tf

from pep_tf.export.precision import graph_precision, in_float32


class Interaction(Protocol):
    """What an exported model does after the lookup; any Keras model may have it."""

    @property
    def variables(self) -> list[Any]:
        """Keras variables, those that `interact` reads among them."""
        ...

    def interact(self, embedded: Any, first_order: Any) -> Any:
        """Logits float [B] or [B, 1] from embeddings [B, F, d] and first-order weights [B, F, 1].

        Both are in the model's `compute_dtype`, float32 where it has none; the second may be None.
        """
        ...


class FrozenTower(tf.Module):
    """`interact` of a model in inference, on its own copy of the weights.

    Only the variables that `interact` reads are copied: the embedding table, the optimizer and the
    seeds of the dropout stay behind, and the live model may train on without changing the copy.

    Args:
        model: has `interact` and `variables`.
        num_fields: F.
        dim: d, the width of the table.
        has_first_order: whether `interact` gets the first-order weights; else it gets None.
        dtype: how matrices are kept (float32, or float16 for half the bytes). Vectors stay as they
            are: a variance of 1e-8 is 0 in float16.
        float32: True computes in float32 what the policies of a Keras model have in fewer bits; else
            the arithmetic stays that of the model.

    Attributes:
        precision: what it computes in, see `precision_of`.
    """

    def __init__(
        self,
        model: Interaction,
        *,
        num_fields: int,
        dim: int,
        has_first_order: bool,
        dtype: str = "float32",
        float32: bool = False,
    ) -> None:
        super().__init__(name="tower")
        interact = functools.partial(_interact, model, float32)
        traced = _trace(interact, num_fields, dim, has_first_order)
        self.precision = graph_precision(traced.graph)
        sources = _variables_read(model, traced)
        self.weights = [
            tf.Variable(_cast(source.value, dtype), trainable=False, name=source.path)
            for source in sources
        ]
        # A function, since whatever else is an attribute here would be written to the file as well:
        # the sources are the live model's own variables.
        self._interact = lambda embedded, first_order: _with_values(
            interact, list(zip(sources, self.weights, strict=True)), embedded, first_order
        )

    def __call__(self, embedded: tf.Tensor, first_order: tf.Tensor | None) -> tf.Tensor:
        """Logits, float32 [B], from float32 [B, F, d] and float32 [B, F, 1] or None."""
        return self._interact(embedded, first_order)


def _with_values(
    interact: Callable[..., tf.Tensor],
    weights: list[tuple[Any, tf.Variable]],
    embedded: tf.Tensor,
    first_order: tf.Tensor | None,
) -> tf.Tensor:
    values = [(source, tf.cast(weight, source.dtype)) for source, weight in weights]
    with keras.StatelessScope(state_mapping=values):
        # [B, 1], as models answer, or [B]
        return tf.reshape(tf.cast(interact(embedded, first_order), tf.float32), [-1])


def _interact(
    model: Interaction, float32: bool, embedded: tf.Tensor, first_order: tf.Tensor | None
) -> tf.Tensor:
    """The logits of a model from float32 inputs, cast to the precision that it computes in."""
    with in_float32(model) if float32 else contextlib.nullcontext():
        dtype = getattr(model, "compute_dtype", "float32")
        first_order = None if first_order is None else tf.cast(first_order, dtype)
        return model.interact(tf.cast(embedded, dtype), first_order)


def _trace(
    interact: Callable[..., tf.Tensor], num_fields: int, dim: int, has_first_order: bool
) -> Any:
    embedded = tf.TensorSpec([None, num_fields, dim], tf.float32)
    weights = tf.TensorSpec([None, num_fields, 1], tf.float32) if has_first_order else None
    return tf.function(interact, autograph=False).get_concrete_function(embedded, weights)


def _variables_read(model: Interaction, traced: Any) -> list[Any]:
    """The Keras variables that a trace of `interact` reads."""
    read = {id(variable) for variable in traced.graph.variables}
    sources = [variable for variable in model.variables if id(variable._value) in read]
    if len(sources) != len(read):
        missing = read - {id(variable._value) for variable in sources}
        names = [v.name for v in traced.graph.variables if id(v) in missing]
        raise ValueError(
            "`model.variables` must hold every variable that `interact` reads. Received a model"
            f" without: {names}"
        )
    return sources


def _cast(value: tf.Tensor, dtype: str) -> tf.Tensor:
    return tf.cast(value, dtype) if value.dtype.is_floating and value.shape.rank > 1 else value
