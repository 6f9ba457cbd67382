"""Layers of a model replaced by others, whatever the model is: through its configuration."""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras.src.saving.serialization_lib import ObjectSharingScope  # as `.keras` files are written

from pep_tf.errors import ModelError
from pep_tf.training.layer_state import (
    load_own_files,
    load_own_weights,
    own_files,
    own_weights,
    walk,
)
from pep_tf.training.shared_layers import Node, is_object, mark_shared, objects
from pep_tf.training.skeleton import Skeleton

_BOTH_WAYS = (
    "Give the class a `get_config` that holds its layers (and a `from_config` that takes them), or "
    "give a function in place of the model: prunable(build_fn), where build_fn(Embedding) makes the "
    "model with `Embedding` in place of keras.layers.Embedding."
)


def swap_layers(
    model: keras.Model,
    tables: Mapping[str, keras.layers.Layer],
    replace: Callable[[str, Node], Node],
    carry_over: Callable[[str, keras.layers.Layer, keras.layers.Layer], None],
) -> keras.Model:
    """A copy of a model with other layers in place of some; all other weights stay.

    Sequential and functional models, nested ones, wrappers and subclassed models whose `get_config`
    holds their layers; what the model was compiled with is not copied.

    Args:
        model: the model, which is left as it is.
        tables: `{key: layer of the model}`; see `keyed`.
        replace: gives the configuration of the new layer, from the key and the configuration of the
            old one (as by `keras.saving.serialize_keras_object`).
        carry_over: brings over what the old layer has learnt: called with key, old and new layer.

    Raises:
        ModelError: a model that cannot be made from its configuration; says why and what to do.
    """
    skeleton = Skeleton.of(model, tables)
    config = replaced(serialized(model), places(model, tables), replace)
    other = deserialized(config, safe_mode=False)
    found = match(skeleton, other)
    for path, layer in walk(model):
        if path not in found:  # below a table
            continue
        key = next((key for key, table in tables.items() if table is layer), None)
        if key is not None:
            if layer.built:
                carry_over(key, layer, found[path])
        else:
            load_own_weights(found[path], own_weights(layer))
            load_own_files(found[path], own_files(layer))
    return other


def keyed(layers: Mapping[str, keras.layers.Layer]) -> dict[str, keras.layers.Layer]:
    """`{key: layer}` from `{path: layer}`: a layer's name where no other has it, else its path."""
    names = [layer.name for layer in layers.values()]
    return {
        layer.name if names.count(layer.name) == 1 else path: layer
        for path, layer in layers.items()
    }


def places(model: keras.Model, tables: Mapping[str, keras.layers.Layer]) -> dict[str, list[str]]:
    """`{key: [class, name or path]}`: where tables are found in the model's configuration."""
    return {key: [type(layer).__name__, key] for key, layer in tables.items()}


def serialized(model: keras.Model) -> Node:
    """The configuration of a model: no weights, and nothing of what it was compiled with.

    Layers that are used in several places are marked as such. How layers were built is left out:
    `Skeleton` has it, and a layer that was built beforehand may be built once more by its model.
    """
    try:
        with ObjectSharingScope(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
            config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        told = str(error).strip().split("\n")[0]
        raise ModelError(
            f"{_described(model)} has no configuration: {told} {_BOTH_WAYS}"
        ) from error
    config = _without(config, ("build_config", "compile_config"))
    mark_shared(config, model)
    return config


def replaced(
    config: Node, places: Mapping[str, list[str]], replace: Callable[[str, Node], Node]
) -> Node:
    """The configuration with other nodes at these places.

    Raises:
        ModelError: a place that the configuration does not have.
    """
    keys = {tuple(place): key for key, place in places.items()}
    config = copy.deepcopy(config)
    found: dict[str, Node] = {}
    for path, node in list(objects(config["config"])):
        kind, name = node["class_name"], node["config"].get("name")
        key = keys.get((kind, path), keys.get((kind, name)))
        if key is not None:
            if key not in found:
                found[key] = replace(key, copy.deepcopy(node))
            node.update(found[key])  # what a functional model says of its calls stays
    if missing := sorted(set(places) - set(found)):
        raise ModelError(
            f"{config['class_name']} makes its layers {missing} outside of its configuration, where "
            f"they cannot be replaced. {_BOTH_WAYS}"
        )
    return config


def deserialized(config: Node, safe_mode: bool = True) -> keras.Model:
    """The model of a configuration, not necessarily built.

    Args:
        config: as by `serialized`.
        safe_mode: refuses Python code in the configuration (lambdas), as `keras.models.load_model`.
    """
    if unknown := sorted(set(_unregistered(config))):
        raise ModelError(
            f"The classes {unknown} are not registered, so that the model cannot be "
            "made from its configuration. Put @keras.saving.register_keras_serializable() above "
            "each, or use keras.saving.custom_object_scope."
        )
    try:
        with ObjectSharingScope():
            return keras.saving.deserialize_keras_object(config, safe_mode=safe_mode)
    except (AttributeError, KeyError, NameError, TypeError, ValueError) as error:
        told = " ".join(str(error).split("Exception encountered:")[-1].split())[:300]  # the cause
        raise ModelError(
            f"{config['class_name']} cannot be made from its configuration: "
            f"{type(error).__name__}: {told} {_BOTH_WAYS}"
        ) from error


def match(skeleton: Skeleton, model: keras.Model) -> dict[str, keras.layers.Layer]:
    """`skeleton.match`, with what differs as a `ModelError`."""
    try:
        return skeleton.match(model)
    except ValueError as error:
        raise ModelError(
            f"{_described(model)} comes out of its configuration as another one: {error}. {_BOTH_WAYS}"
        ) from error


def _described(model: keras.Model) -> str:
    return f"{type(model).__name__} {model.name!r}"


def _without(node: Any, names: tuple[str, ...]) -> Any:
    if isinstance(node, list | tuple):
        return type(node)(_without(x, names) for x in node)
    if not isinstance(node, dict):
        return node
    left_out = names if is_object(node) else ()
    return {key: _without(value, names) for key, value in node.items() if key not in left_out}


def _unregistered(node: Any) -> Iterator[str]:
    """Names of the classes that Keras would not find."""
    if isinstance(node, list | tuple):
        for x in node:
            yield from _unregistered(x)
    if not isinstance(node, dict):
        return
    if is_object(node) and node.get("registered_name"):
        own = str(node.get("module")).split(".")[0] not in ("keras", "tensorflow")
        if own and keras.saving.get_registered_object(node["registered_name"]) is None:
            yield node["class_name"]
    for value in node.values():
        yield from _unregistered(value)
