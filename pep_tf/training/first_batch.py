"""Models that the first batch of `fit` would build: built before it, from its shapes and types."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from pep_tf.errors import ModelError


def before_first_step(model: keras.Model, act: Callable[[], None]) -> None:
    """Calls a function once a model is built, before it is trained on its first batch.

    Args:
        model: in `fit`, with layers that are not built.
        act: what is to be done; may have the model make its function for training anew.

    Raises:
        ModelError: outside of `fit`, or in its first step a model that cannot be built.
    """
    train = getattr(model, "train_function", None)
    if train is None:
        raise ModelError(_not_built(model))

    def first(iterator: Any) -> Any:
        model.train_function = train
        _build(model, iterator)
        act()
        return model.train_function(iterator)

    model.train_function = first


def is_built(model: keras.Model) -> bool:
    """Whether every layer that can have weights is built."""
    return not _unbuilt(model)


def _build(model: keras.Model, iterator: Any) -> None:
    """Calls a model with symbols like the inputs that an iterator will give."""
    spec = getattr(iterator, "element_spec", None)
    spec = spec[0] if isinstance(spec, tuple) else spec
    try:
        model(tf.nest.map_structure(_symbol, spec))
    except Exception as error:
        raise ModelError(_not_built(model)) from error
    if not is_built(model):
        raise ModelError(_not_built(model))


def _symbol(spec: tf.TypeSpec) -> keras.KerasTensor:
    kind = {
        "sparse": isinstance(spec, tf.SparseTensorSpec),
        "ragged": isinstance(spec, tf.RaggedTensorSpec),
    }
    return keras.KerasTensor(tuple(spec.shape), spec.dtype.name, **kind)


def _unbuilt(model: keras.Model) -> list[keras.layers.Layer]:
    # The lookup in a TextVectorization is not built before the first text; it has no weights.
    lookups = keras.layers.StringLookup | keras.layers.IntegerLookup
    return [x for x in model._flatten_layers() if not (x.built or isinstance(x, lookups))]


def _not_built(model: keras.Model) -> str:
    layers = [x.name for x in _unbuilt(model) if x is not model]
    return (
        f"{type(model).__name__} {model.name!r} must be built before it is pruned: call it on a batch "
        f"first. Not built: {layers[:5]}"
    )
