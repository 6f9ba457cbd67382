"""What a layer holds apart from its configuration: weights and files such as a vocabulary."""

import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np


def own_weights(layer: keras.layers.Layer) -> dict[str, Any]:
    """`{name: variable or array}` of a layer without its sublayers, as the layer saves them."""
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    named: dict[str, Any] = {}
    for key, value in store.items():
        name = value.name if isinstance(value, keras.Variable) else key
        named[name if name not in named else f"{name}_{key}"] = value
    return named


def load_own_weights(layer: keras.layers.Layer, values: Mapping[str, Any]) -> None:
    """Sets a layer's own weights, all of them, in the order in which `own_weights` gives them."""
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    layer.load_own_variables(dict(zip(store, values.values(), strict=True)))


def own_files(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """`{name: uint8 [bytes]}` of the files that a layer keeps beside its weights."""
    if not hasattr(layer, "save_assets"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        layer.save_assets(folder)
        paths = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
        return {
            path.relative_to(folder).as_posix(): np.frombuffer(path.read_bytes(), np.uint8)
            for path in paths
        }


def load_own_files(layer: keras.layers.Layer, files: Mapping[str, np.ndarray]) -> None:
    """Loads into a layer the files that `own_files` read from another."""
    if not files:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.tobytes())
        layer.load_assets(folder)


def children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The direct sublayers of a layer, each once, in the order in which they were attached."""
    found: list[keras.layers.Layer] = layer._flatten_layers(include_self=False, recursive=False)
    return found


def walk(
    model: keras.layers.Layer, steady: bool = True
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Each layer of a model once, itself first, with the path of names that leads to it.

    No two layers have the same path: where names repeat, a number is added.

    Args:
        model: a model or layer.
        steady: whether layers that were given no name are numbered by their place in the model, so
            that paths do not depend on how many layers were made before; False takes the layers' names.
    """
    seen, paths = set(), set()

    def visit(layer: keras.layers.Layer, path: str) -> Iterator[tuple[str, keras.layers.Layer]]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        unique, times = path, 1
        while unique in paths:
            times += 1
            unique = f"{path}~{times}"
        paths.add(unique)
        yield unique, layer
        below = children(layer)
        names = _steady_names(below) if steady else [child.name for child in below]
        for child, name in zip(below, names, strict=True):
            yield from visit(child, f"{unique}/{name}" if unique else name)

    yield from visit(model, "")


def _steady_names(layers: list[keras.layers.Layer]) -> list[str]:
    """Names of layers; numbers that Keras appended are counted from the first of each name."""
    numbered: dict[str, list[bool]] = {}
    kinds = [_snake(type(layer).__name__) for layer in layers]
    for layer, kind in zip(layers, kinds, strict=True):
        given = re.fullmatch(rf"{kind}(_[1-9][0-9]*)?", layer.name) is not None
        numbered.setdefault(kind, []).append(given)
    names, count = [], dict.fromkeys(numbered, 0)
    for layer, kind in zip(layers, kinds, strict=True):
        name = layer.name
        if all(numbered[kind]):
            name = f"{kind}_{count[kind]}" if count[kind] else kind
        count[kind] += 1
        names.append(name)
    return names


def _snake(name: str) -> str:
    """`batch_normalization` of "BatchNormalization", as Keras names layers."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
