"""Weights of a model by name, the same however many models of its class were made before."""

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from pep_tf import distributed
from pep_tf.tables import RowVariable
from pep_tf.tables.sharded_table import interleaved, is_sharded
from pep_tf.training.layer_state import load_own_weights, own_weights, walk


def named_weights(model: keras.Model) -> dict[str, Any]:
    """`{path below the model: variable}` of all weights, trainable or not; see `walk`."""
    return {
        joined(path, name): value
        for path, layer in walk(model)
        for name, value in own_weights(layer).items()
    }


def joined(path: str, name: str) -> str:
    """The name of a weight of the layer at a path."""
    return f"{path}/{name}" if path else name


def snapshot(
    model: keras.Model, without: Collection[keras.layers.Layer] = ()
) -> dict[str, np.ndarray]:
    """A copy of all weights by name; rows that are updated lazily are brought up to date in it.

    Args:
        model: a built model.
        without: layers whose weights are left out.
    """
    left_out = {id(layer) for layer in without}
    own = {
        joined(path, name): value
        for path, layer in walk(model)
        if id(layer) not in left_out
        for name, value in own_weights(layer).items()
    }
    tables = {v.row_table: None for v in own.values() if isinstance(v, RowVariable)}
    current = {
        id(v): value for t in tables for v, value in zip(t.variables, t.current(), strict=True)
    }
    return {n: current[id(v)] if id(v) in current else _copy(v) for n, v in own.items()}


def whole_values(
    values: Mapping[str, np.ndarray], weights: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Values with all rows of the weights that are sharded.

    Args:
        values: by name.
        weights: of the model that they belong to, by name.
    """
    return {
        name: interleaved(weights[name].row_table.group.gather_arrays(value))
        if is_sharded(weights[name])
        else value
        for name, value in values.items()
    }


def whole_model(model: keras.Model) -> keras.Model:
    """The same model with whole tables where each worker has a part of them; all workers call it.

    Worker 0 gets it, the others the model that they gave.
    """
    weights = named_weights(model)
    if not any(map(is_sharded, weights.values())):
        return model
    values = whole_values(snapshot(model), weights)
    if not distributed.is_leader():
        return model
    with distributed.alone():
        whole = type(model).from_config(model.get_config())
        whole.build()
        assign(whole, values)
    return whole


def _copy(value: Any) -> np.ndarray:
    return np.array(value.numpy() if isinstance(value, keras.Variable) else value)


def assign(model: keras.Model, values: dict[str, Any]) -> None:
    """Sets the weights that `values` names."""
    for path, layer in walk(model):
        own = own_weights(layer)
        given = {n: values[joined(path, n)] for n in own if joined(path, n) in values}
        if given and len(given) == len(own):
            load_own_weights(layer, given)
        else:
            for name, value in given.items():
                own[name].assign(value)
