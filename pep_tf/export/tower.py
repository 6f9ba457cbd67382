"""A snapshot of a model's tower: its arithmetic with a copy of the variables that it reads."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from pep_tf.export.kept_columns import KeptColumns, KeptNumbers
from pep_tf.export.precision import graph_precision, in_float32
from pep_tf.export.run_graph import run_graph
from pep_tf.export.without_zeros import without_zeros


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
    seeds of the dropout stay behind, and the live model may train on without changing the copy. Of a
    matrix that multiplies the flattened embeddings, rows that only ever meet zeros stay behind too.

    Args:
        model: has `interact` and `variables`.
        kept: columns of the embeddings of each field that are not always zero.
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
        kept: KeptColumns,
        has_first_order: bool,
        dtype: str = "float32",
        float32: bool = False,
    ) -> None:
        super().__init__(name="tower")
        interact = functools.partial(_interact, model, float32)
        inputs = _specs(kept, has_first_order)
        traced = _trace(interact, *inputs)
        self.precision = graph_precision(traced)
        sources = _variables_read(model, traced)
        specs = [tf.TensorSpec(source.shape, source.dtype) for source in sources]
        graph = _trace(functools.partial(_with_values, interact, sources), *inputs, specs)
        values = graph.inputs[len(graph.inputs) - len(sources) :]
        shorter = without_zeros(graph.inputs[0], values, kept)
        few = {part.matrix for part in shorter}
        self.weights = [
            tf.Variable(_stored(source, rows, dtype), trainable=False, name=source.path)
            for source, value in zip(sources, values, strict=True)
            for rows in [kept.rows if value.name in few else None]
        ]

        def run(
            embedded: tf.Tensor, first_order: tf.Tensor | None, numbers: KeptNumbers | None
        ) -> tf.Tensor:
            weights = [
                tf.cast(w, value.dtype) for w, value in zip(self.weights, values, strict=True)
            ]
            fed = [embedded, *([] if first_order is None else [first_order]), *weights]
            given = {x.name: own for x, own in zip(graph.inputs, fed, strict=True)}
            if shorter:
                numbers = numbers or kept.pick(embedded)
                results = {part.result.name: part.of(kept, numbers, given) for part in shorter}
                given = {name: x for name, x in given.items() if name not in few} | results
            return run_graph(graph, given)

        # A function, since whatever else is an attribute here would be written to the file as well.
        self._run = run

    def __call__(
        self,
        embedded: tf.Tensor,
        first_order: tf.Tensor | None,
        numbers: KeptNumbers | None = None,
    ) -> tf.Tensor:
        """Logits, float32 [B], from float32 [B, F, d] and float32 [B, F, 1] or None.

        `numbers` are those of the kept columns; None: they are picked from the embeddings.
        """
        return self._run(embedded, first_order, numbers)


def _specs(kept: KeptColumns, has_first_order: bool) -> tuple[tf.TensorSpec, tf.TensorSpec | None]:
    weights = tf.TensorSpec([None, kept.num_fields, 1], tf.float32) if has_first_order else None
    return tf.TensorSpec([None, kept.num_fields, kept.dim], tf.float32), weights


def _trace(function: Callable[..., tf.Tensor], *inputs: Any) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(*inputs).graph


def _with_values(
    interact: Callable[..., tf.Tensor],
    sources: Sequence[Any],
    embedded: tf.Tensor,
    first_order: tf.Tensor | None,
    values: Sequence[tf.Tensor],
) -> tf.Tensor:
    with keras.StatelessScope(state_mapping=list(zip(sources, values, strict=True))):
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


def _variables_read(model: Interaction, graph: Any) -> list[Any]:
    """The Keras variables that a trace of `interact` reads."""
    read = {id(variable) for variable in graph.variables}
    sources = [variable for variable in model.variables if id(variable._value) in read]
    if len(sources) != len(read):
        missing = read - {id(variable._value) for variable in sources}
        names = [v.name for v in graph.variables if id(v) in missing]
        raise ValueError(
            "`model.variables` must hold every variable that `interact` reads. Received a model"
            f" without: {names}"
        )
    return sources


def _stored(source: Any, rows: np.ndarray | None, dtype: str) -> tf.Tensor:
    """What is kept of a variable, of these rows of it if not all."""
    value = source.value if rows is None else tf.gather(source.value, rows)
    return tf.cast(value, dtype) if value.dtype.is_floating and value.shape.rank > 1 else value
