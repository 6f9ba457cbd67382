"""Weights of a model by name, apart from how often a model of its class was made before."""

from collections.abc import Collection

import keras
import numpy as np

from pep_tf.layers import PEPEmbedding
from pep_tf.tables import RowVariable


def named_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """`{path below the model: variable}` of all weights, trainable or not."""
    prefix = f"{model.name}/"
    named: dict[int, str] = {}
    for name in ("embedding", "first_order"):  # were perhaps made, and named, outside of the model
        if layer := getattr(model, name, None):
            named |= {id(v): f"{name}/{v.name}" for v in layer.weights}
    return {named.get(id(v)) or v.path.removeprefix(prefix): v for v in model.weights}


def snapshot(model: keras.Model, without: Collection[PEPEmbedding] = ()) -> dict[str, np.ndarray]:
    """A copy of all weights by name; rows that are updated lazily are brought up to date in it.

    Args:
        model: a built model.
        without: layers whose weights are left out.
    """
    tables = {v.row_table: None for v in model.weights if isinstance(v, RowVariable)}
    current = {
        id(v): value for t in tables for v, value in zip(t.variables, t.current(), strict=True)
    }
    left_out = {id(v) for layer in without for v in layer.weights}
    return {
        name: current[id(v)] if id(v) in current else np.array(v._value.numpy())
        for name, v in named_weights(model).items()
        if id(v) not in left_out
    }


def assign(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Sets the weights that `values` names."""
    weights = named_weights(model)
    for name, value in values.items():
        weights[name].assign(value)
