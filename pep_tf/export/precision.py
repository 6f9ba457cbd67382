"""The precision a model computes in, and how to make it compute in float32 for once."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

_REDUCED = {tf.bfloat16: "bfloat16", tf.float16: "float16"}  # the coarser one first


def precision_of(function: Callable[..., Any], *inputs: tf.TensorSpec | None) -> str:
    """The coarsest type that a function computes in: "bfloat16", "float16" or "float32".

    Found by tracing it, so that what is cast by hand counts as well as what a policy of Keras says.

    Args:
        function: takes and gives tensors.
        *inputs: their shapes and types.
    """
    return graph_precision(
        tf.function(function, autograph=False).get_concrete_function(*inputs).graph
    )


def graph_precision(graph: tf.Graph) -> str:
    """The same for a traced graph and the functions that it calls."""
    definition = graph.as_graph_def()
    functions = definition.library.function
    nodes = [*definition.node, *(node for f in functions for node in f.node_def)]
    found = {attribute.type for node in nodes for attribute in node.attr.values()}
    reduced = (name for dtype, name in _REDUCED.items() if dtype.as_datatype_enum in found)
    return next(reduced, "float32")


@contextlib.contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Has the layers of a Keras model compute in float32, whatever their policies say.

    What the model was traced for before keeps its types; weights are float32 in any case.
    """
    layers = model._flatten_layers() if isinstance(model, keras.layers.Layer) else []
    # The attribute behind `dtype_policy`, which for a `DTypePolicyMap` gives the map but sets an item.
    # A quantized layer has no weights to compute in float32 with.
    policies = [
        (layer, layer._dtype_policy)
        for layer in layers
        if layer.compute_dtype in _REDUCED.values() and layer.quantization_mode is None
    ]
    try:
        for layer, _ in policies:
            layer._dtype_policy = keras.DTypePolicy("float32")
        yield
    finally:
        for layer, policy in policies:
            layer._dtype_policy = policy


@contextlib.contextmanager
def whole_products() -> Iterator[None]:
    """Has matrix products of float32 take all 24 bits; on a GPU they round to 11 bits otherwise (TF32)."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)
