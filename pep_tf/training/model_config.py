"""The configuration of a model: read, changed, and made into a model again."""

import builtins
import copy
import dis
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras.src.saving.serialization_lib import ObjectSharingScope  # as `.keras` files are written

from pep_tf.errors import ModelError
from pep_tf.training.layer_state import walk
from pep_tf.training.shared_layers import Node, is_object, mark_shared, objects

BOTH_WAYS = (
    "Give the class a `get_config` that holds its layers (and a `from_config` that takes them), or "
    "give a function in place of the model: prunable(build_fn), where build_fn(Embedding) makes the "
    "model with `Embedding` in place of keras.layers.Embedding."
)


def serialized(model: keras.Model) -> Node:
    """The configuration of a model: no weights, and nothing of what it was compiled with.

    Layers that are used in several places are marked as such. How layers were built is left out:
    `Skeleton` has it, and a layer that was built beforehand may be built once more by its model.
    """
    for layer in (x for _, x in walk(model) if isinstance(x, keras.layers.Lambda)):
        if names := _borrowed(layer.function):
            raise ModelError(
                f"The Lambda layer {layer.name!r} uses {names} of its module, which a copy of a lambda does not "
                "have: give the function a name and put @keras.saving.register_keras_serializable() "
                "above it, or give prunable a function that makes the model."
            )
    try:
        with ObjectSharingScope(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
            config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"{type(model).__name__} {model.name!r} has no configuration: {reason} {BOTH_WAYS}"
        ) from error
    config = _without(config, ("build_config", "compile_config"))
    mark_shared(config, model)
    return config


def replaced(
    config: Node, places: Mapping[str, list[str]], replace: Callable[[str, Node], Node]
) -> Node:
    """The configuration with the nodes at these places replaced.

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
            f"they cannot be replaced. {BOTH_WAYS}"
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
        reason = " ".join(str(error).split("Exception encountered:")[-1].split())[:300]  # the cause
        raise ModelError(
            f"{config['class_name']} cannot be made from its configuration: "
            f"{type(error).__name__}: {reason} {BOTH_WAYS}"
        ) from error


def _borrowed(function: Any) -> list[str]:
    """Names that a lambda takes from its module."""
    if getattr(function, "__name__", None) != "<lambda>":
        return []  # Keras knows it by its name
    found = {x.argval for x in dis.get_instructions(function) if x.opname == "LOAD_GLOBAL"}
    return sorted(found - set(vars(builtins)))


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
