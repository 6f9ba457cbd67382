"""Models made by a function that uses another layer in place of keras.layers.Embedding."""

import weakref
from collections.abc import Callable
from typing import Any

import keras

from pep_tf.errors import ModelError

BuildFn = Callable[[Callable[..., keras.layers.Layer]], keras.Model]
Replacement = Callable[[str, keras.layers.Embedding], keras.layers.Layer]

# The functions of the models that were made here: a ticket makes its model by the same one.
_MADE_BY: weakref.WeakKeyDictionary[keras.Model, BuildFn] = weakref.WeakKeyDictionary()


def build_with(
    build_fn: BuildFn, replace: Replacement
) -> tuple[keras.Model, dict[str, keras.layers.Layer]]:
    """The model that a function makes when the embeddings it asks for are replaced, and these by key.

    An embedding's key is its `name`; those without one are `embedding`, `embedding_1`, ... in the
    order in which the function asks for them.

    Raises:
        ModelError: a function that makes no model, asks for no embedding, or for two of one name.
    """
    asked: dict[str, keras.layers.Layer] = {}
    unnamed = 0

    def embedding(*args: Any, **kwargs: Any) -> keras.layers.Layer:
        nonlocal unnamed
        if kwargs.get("name") is None:
            kwargs["name"] = f"embedding_{unnamed}" if unnamed else "embedding"
            unnamed += 1
        key = kwargs["name"]
        if key in asked:
            raise ModelError(
                f"`build_fn` must give its embeddings different names. Received: {key!r}"
            )
        asked[key] = replace(key, keras.layers.Embedding(*args, **kwargs))
        return asked[key]

    model = build_fn(embedding)
    if not isinstance(model, keras.Model):
        raise ModelError(f"`build_fn` must return a keras.Model. Received: {model!r}")
    if not asked:
        raise ModelError(
            "`build_fn` must make its embeddings by the function that it is given, in place of "
            "keras.layers.Embedding. It asked for none."
        )
    _MADE_BY[model] = build_fn
    return model, asked


def build_fn_of(model: keras.Model) -> BuildFn | None:
    """The function by which `build_with` made a model; None for other models."""
    return _MADE_BY.get(model)
