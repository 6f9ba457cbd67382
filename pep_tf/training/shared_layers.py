"""Layers that a model uses in several places, marked so that Keras makes each one once."""

from collections.abc import Iterator
from typing import Any

import keras

from pep_tf.training.layer_state import walk

Node = dict[str, Any]
_ID = "shared_object_id"


def is_object(node: Any) -> bool:
    """Whether a part of a configuration describes an object: a class and its arguments."""
    return (
        isinstance(node, dict)
        and isinstance(node.get("class_name"), str)
        and isinstance(node.get("config"), dict)
    )


def objects(node: Any, path: str = "") -> Iterator[tuple[str, Node]]:
    """The objects below a part of a configuration, with the path of names that leads to each."""
    if isinstance(node, list | tuple):
        for part in node:
            yield from objects(part, path)
    elif is_object(node):
        name = node["config"].get("name")
        own = f"{path}/{name}" if path else str(name)
        yield own, node
        yield from objects(node["config"], own)
    elif isinstance(node, dict):
        yield from objects(list(node.values()), path)


def mark_shared(config: Node, model: keras.Model) -> None:
    """Completes what Keras notes of shared layers, in place.

    Keras marks a layer where it comes for the second time; the mark at the first is lost where
    another object is around it. And within a functional model it counts a layer's calls from 0, while
    the calls that other models make of it are made before.
    """
    layers = {id(layer): (path, layer) for path, layer in walk(model, steady=False)}
    below = list(objects(config["config"]))
    for shared in {node[_ID] for _, node in below if _ID in node} & set(layers):
        path, layer = layers[shared]
        for own, node in below:
            if own == path and node["class_name"] == type(layer).__name__:
                node[_ID] = shared
                break
    _number_calls(config, {}, set())


def _number_calls(node: Any, calls: dict[int, int], seen: set[int]) -> None:
    """Numbers the calls of shared layers through all models, in the order in which Keras makes them."""
    if isinstance(node, list | tuple):
        for part in node:
            _number_calls(part, calls, seen)
    if not isinstance(node, dict) or node.get(_ID) in seen:
        return  # made before, and all below it
    for name, part in node.items():
        if name != "inbound_nodes":
            _number_calls(part, calls, seen)
    if is_object(node) and isinstance(layers := node["config"].get("layers"), list):
        before = {}
        for layer in (x for x in layers if is_object(x) and _ID in x):
            before[layer["config"].get("name")] = calls.get(layer[_ID], 0)
            made = len(layer.get("inbound_nodes", [None]))  # in a sequential model: one
            calls[layer[_ID]] = calls.get(layer[_ID], 0) + made
        if any(before.values()):
            _shift([x.get("inbound_nodes") for x in layers], before)
            for name in ("input_layers", "output_layers"):
                _shift(node["config"].get(name), before)
    if _ID in node:
        seen.add(node[_ID])


def _shift(part: Any, before: dict[str, int]) -> None:
    """Adds to the numbers in references `[layer, number of its call, output]`."""
    if isinstance(part, dict):
        for value in part.values():
            _shift(value, before)
    elif isinstance(part, list | tuple):
        if isinstance(part, list) and len(part) == 3 and isinstance(part[0], str):
            part[1] += before.get(part[0], 0)
        else:
            for value in part:
                _shift(value, before)
