"""Weights of a model by name, apart from how often a model of its class was made before."""

import keras
import numpy as np

from pep_tf.layers import PEPEmbedding


def named_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """`{path below the model: variable}` of all weights, trainable or not."""
    prefix = f"{model.name}/"
    # The embedding was perhaps made, and named, outside of the model.
    embedding = getattr(model, "embedding", None)
    named = {id(v): f"embedding/{v.name}" for v in embedding.weights} if embedding else {}
    return {named.get(id(v)) or v.path.removeprefix(prefix): v for v in model.weights}


def snapshot(model: keras.Model) -> dict[str, np.ndarray]:
    """A copy of all weights by name; rows that are updated lazily are brought up to date in it."""
    values = {name: np.array(v._value.numpy()) for name, v in named_weights(model).items()}
    names = {id(v): name for name, v in named_weights(model).items()}
    for layer in model._flatten_layers():
        if isinstance(layer, PEPEmbedding):
            table, thresholds = layer.current()
            values[names[id(layer.table)]] = table
            if thresholds is not None and layer.granularity.by_feature:
                values[names[id(layer.thresholds)]] = thresholds
    return values


def assign(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Sets the weights that `values` names."""
    weights = named_weights(model)
    for name, value in values.items():
        weights[name].assign(value)
