"""The structure of a model, layer by layer, to match another model with it."""

import dataclasses
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from pep_tf.tables.sharded_table import whole_shape
from pep_tf.training.layer_state import children, own_weights, walk

_DEFAULT_BUILDS = (keras.layers.Layer.build, keras.Model.build)


@dataclasses.dataclass
class Skeleton:
    """A layer and what is below it, without its weights' values; JSON-ready by `dataclasses.asdict`.

    Attributes:
        path: names that lead to the layer, "" for the model; see `walk`.
        kind: name of its class.
        built: whether it has its weights.
        build: what `build_from_config` takes.
        trainable: as the layer says.
        dtype: name of its dtype policy.
        weights: `{name: shape}` of its own ones.
        table: key of the table, if the layer is one that is exchanged.
        same_as: path of the layer that it is, if that was met before.
        children: those just below it.
    """

    path: str
    kind: str
    built: bool = False
    build: dict[str, Any] | None = None
    trainable: bool = True
    dtype: str = "float32"
    weights: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    table: str | None = None
    same_as: str | None = None
    children: list["Skeleton"] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, model: keras.Model, tables: Mapping[str, keras.layers.Layer]) -> "Skeleton":
        """The skeleton of a model, in which `tables` by key are the layers to exchange."""
        keys = {id(layer): key for key, layer in tables.items()}
        paths = {id(layer): path for path, layer in walk(model)}
        seen: set[int] = set()

        def visit(layer: keras.layers.Layer) -> "Skeleton":
            path, kind = paths[id(layer)], type(layer).__name__
            if id(layer) in seen:
                return cls(path, kind, same_as=path)
            seen.add(id(layer))
            key = keys.get(id(layer))
            return cls(
                path,
                kind,
                built=layer.built,
                build=_as_json(layer.get_build_config()),
                trainable=layer.trainable,
                dtype=layer.dtype_policy.name,
                weights={name: whole_shape(value) for name, value in own_weights(layer).items()},
                table=key,
                children=[] if key is not None else [visit(child) for child in children(layer)],
            )

        return visit(model)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Skeleton":
        """The skeleton that `dataclasses.asdict` gave."""
        return cls(**{**config, "children": [cls.from_config(x) for x in config["children"]]})

    def layers(self) -> Iterator["Skeleton"]:
        """This layer and all below it, each once, in the order of `walk`."""
        if self.same_as is None:
            yield self
            for child in self.children:
                yield from child.layers()

    def match(self, model: keras.Model) -> dict[str, keras.layers.Layer]:
        """The layers of a model that was made anew, by the paths here; builds those that are not built.

        Names may differ, as Keras numbers layers that have none through a session.

        Raises:
            ValueError: a model of another architecture; names each layer that differs.
        """
        found: dict[str, keras.layers.Layer] = {}
        differences: list[str] = []
        _match(self, model, found, differences)
        if differences:
            raise ValueError("; ".join(differences))
        return found


def _match(
    own: Skeleton, layer: keras.layers.Layer, found: dict[str, Any], differences: list[str]
) -> None:
    where = f"layer {own.path!r}" if own.path else "the model"
    if own.same_as is not None:
        if found.get(own.same_as) is not layer:
            differences.append(f"{where} is used in two places, {layer.name!r} in one of them only")
        return
    if own.table is None and type(layer).__name__ != own.kind:
        differences.append(f"{where} is a {own.kind}, {layer.name!r} a {type(layer).__name__}")
        return
    if any(layer is other for other in found.values()):
        differences.append(
            f"{where} is another one than {layer.name!r}, which is used in its place"
        )
        return
    found[own.path] = layer
    if layer.trainable != own.trainable:
        layer.trainable = own.trainable
    by_itself = type(layer).build not in _DEFAULT_BUILDS
    if by_itself:
        _build(own, layer, where)
    if own.table is not None:
        return
    below = children(layer)
    for child, other in zip(own.children, below, strict=False):
        _match(child, other, found, differences)
    if len(below) != len(own.children):
        more = [x.path for x in own.children[len(below) :]]
        less = [x.name for x in below[len(own.children) :]]
        differences.append(f"{where} has {more or 'not'} where the other has {less or 'nothing'}")
        return
    if not by_itself:
        _build(own, layer, where)
    _compare(own, layer, where, differences)


def _build(own: Skeleton, layer: keras.layers.Layer, where: str) -> None:
    """Builds a layer as the one of the skeleton was, unless it is built."""
    if not own.built or layer.built:
        return
    with warnings.catch_warnings():
        # A model without a `build` of its own says that it cannot build itself: its layers were built.
        warnings.simplefilter("ignore", UserWarning)
        try:
            layer.build_from_config(_shapes(own.build or {}))
        except Exception as error:
            raise ValueError(f"{where} cannot be built like the other: {error}") from error
    layer.built = True


def _as_json(config: Any) -> Any:
    return json.loads(json.dumps(keras.saving.serialize_keras_object(config)))


def _shapes(config: Any) -> Any:
    """A configuration from JSON with its shapes as tuples, which layers may rely on."""
    if isinstance(config, dict):
        return {name: _shapes(value) for name, value in config.items()}
    if isinstance(config, list):
        is_shape = all(size is None or isinstance(size, int) for size in config)
        return tuple(config) if is_shape else [_shapes(value) for value in config]
    return config


def _compare(own: Skeleton, layer: keras.layers.Layer, where: str, differences: list[str]) -> None:
    """Notes where the layer's own weights differ."""
    shapes = {name: whole_shape(value) for name, value in own_weights(layer).items()}
    if list(shapes.values()) != list(own.weights.values()):
        differences.append(f"{where} has weights {own.weights}, {layer.name!r} has {shapes}")
    elif layer.dtype_policy.name != own.dtype:
        differences.append(
            f"{where} is in {own.dtype}, {layer.name!r} in {layer.dtype_policy.name}"
        )
