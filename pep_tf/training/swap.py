"""Layers of a model replaced by others, whatever the model is."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import keras

from pep_tf.errors import ModelError
from pep_tf.training.build_fn import BuildFn, build_fn_of, build_with
from pep_tf.training.layer_state import (
    load_own_files,
    load_own_weights,
    own_files,
    own_weights,
    walk,
)
from pep_tf.training.model_config import BOTH_WAYS, deserialized, replaced, serialized
from pep_tf.training.shared_layers import Node
from pep_tf.training.skeleton import Skeleton

Layers = Mapping[str, keras.layers.Layer]


@dataclasses.dataclass
class Blueprint:
    """How to make a model again with some layers replaced.

    Attributes:
        skeleton: what the model is made of; None where that was not kept.
        config: of the model; None if a function makes it.
        places: `{key: [class, name or path]}`: where the layers to replace are in `config`.
        build_fn: makes the model, if it has no configuration; see `build_with`.
        trusted: whether Python code in the configuration may be run, as in one that this process
            has taken from a model.
    """

    skeleton: Skeleton | None
    config: Node | None
    places: dict[str, list[str]]
    build_fn: BuildFn | None = None
    trusted: bool = False

    @classmethod
    def of(cls, model: keras.Model, layers: Layers) -> "Blueprint":
        """The blueprint of a model in which `layers` by key (see `keyed`) can be replaced.

        Raises:
            ModelError: a model that has no configuration and was not made by `build_with`.
        """
        skeleton, build_fn = Skeleton.of(model, layers), build_fn_of(model)
        paths = {id(layer): path for path, layer in walk(model, steady=False)}
        places = {
            key: [type(layer).__name__, key if key == layer.name else paths[id(layer)]]
            for key, layer in layers.items()
        }
        config = None
        if build_fn is None:
            config = json.loads(json.dumps(serialized(model)))
            replaced(config, places, lambda key, node: node)  # all of them are there
        return cls(skeleton, config, places, build_fn, trusted=True)

    def weights_of(self, path: str) -> list[str] | None:
        """Names of a layer's own weights, None where the skeleton was not kept."""
        if self.skeleton is None:
            return None
        return next(list(x.weights) for x in self.skeleton.layers() if x.path == path)

    def make(self, layers: Layers) -> tuple[keras.Model, Layers]:
        """A new model with these unbuilt layers in place of its own.

        Returns:
            The model, and its layers by path.

        Raises:
            ModelError: a model that cannot be made, or that is another one once made.
        """
        if self.config is not None:
            configs = {key: keras.saving.serialize_keras_object(x) for key, x in layers.items()}
            config = replaced(self.config, self.places, lambda key, node: configs[key])
            model = deserialized(config, safe_mode=not self.trusted)
        elif self.build_fn is not None:
            model, asked = build_with(
                self.build_fn, lambda key, old: _replacement(key, old, layers)
            )
            if missing := sorted(set(layers) - set(asked)):
                raise ModelError(f"`build_fn` asks for {sorted(asked)}, not for {missing}.")
        else:
            raise ModelError(
                "It was made by a function, which a file does not hold: give it once more, "
                "`ticket.model(build_fn=...)`."
            )
        if self.skeleton is None:
            if not model.built:
                model.build()
            return model, dict(walk(model, steady=False))
        try:
            return model, self.skeleton.match(model)
        except ValueError as error:
            raise ModelError(
                f"{type(model).__name__} {model.name!r} comes out as another model: {error}. {BOTH_WAYS}"
            ) from error


def _replacement(key: str, old: keras.layers.Embedding, layers: Layers) -> keras.layers.Layer:
    """The layer of a key in place of an embedding; raises ModelError unless their tables are of a size."""
    new = layers.get(key, old)
    asked, given = ((x.input_dim, x.output_dim) for x in (old, new))
    if asked != given:
        raise ModelError(
            f"`build_fn` makes the embedding {key!r} of {asked[0]} x {asked[1]} numbers, which had "
            f"{given[0]} x {given[1]}."
        )
    return new


def swap_layers(
    model: keras.Model,
    layers: Layers,
    replacements: Layers,
    carry_over: Callable[[Any, Any], None],
) -> keras.Model:
    """A copy of a model with other layers in place of some; all other weights stay.

    Sequential and functional models, nested ones, wrappers and subclassed models whose `get_config`
    holds their layers; what the model was compiled with is not copied.

    Args:
        model: the model, which is left as it is.
        layers: layers of the model by key; see `keyed`.
        replacements: by key, layers like those to be in their place.
        carry_over: brings over what an old layer has learnt: called with it and the new one.

    Raises:
        ModelError: a model that cannot be made anew; says why and what to do.
    """
    other, found = Blueprint.of(model, layers).make(replacements)
    old = {id(layer) for layer in layers.values()}
    for path, layer in walk(model):
        if path not in found or not layer.built:
            continue
        if id(layer) in old:
            carry_over(layer, found[path])
        else:
            load_own_weights(found[path], own_weights(layer))
            load_own_files(found[path], own_files(layer))
    return other


def keyed(layers: Layers) -> dict[str, keras.layers.Layer]:
    """`{key: layer}` from `{path: layer}`: a layer's name where no other has it, else its path."""
    names = [layer.name for layer in layers.values()]
    return {
        layer.name if names.count(layer.name) == 1 else path: layer
        for path, layer in layers.items()
    }
