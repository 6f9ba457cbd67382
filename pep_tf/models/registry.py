"""Which models there are, by name, and which arguments each takes: all else asks here."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pep_tf.models.base import CTRModel
from pep_tf.registry import registering

MODELS: dict[str, type[CTRModel]] = {}
_TABLES = ("embedding", "first_order")
_Model = TypeVar("_Model", bound=type[CTRModel])


def register(name: str) -> Callable[[_Model], _Model]:
    """Class decorator: `build_model`, the commands and the search then know the model by its name.

    What can be asked of a model is read from its constructor, which therefore names each argument:
    `embedding` for a table that can be pruned, `first_order` for first-order weights, and options
    with a default each. Options that are also fields of `pep_tf.experiments.config.Config` are flags.

    Args:
        name: of the model in `build_model` and after `--model=`.

    Raises:
        ValueError: the name of another model.

    Example:
        >>> @register("one_layer")
        ... class OneLayer(CTRModel):
        ...     def __init__(self, fields, embedding, units=8, **kwargs):
        ...         super().__init__(fields, embedding, None, **kwargs)
    """
    return registering(name, "model", MODELS)


def model_class(name: str) -> type[CTRModel]:
    """The class of that name.

    Raises:
        ValueError: an unknown name.
    """
    if name not in MODELS:
        raise ValueError(f"`name` must be one of {sorted(MODELS)}. Received: {name!r}")
    return MODELS[name]


def arguments_of(name: str) -> tuple[str, ...]:
    """Names of the arguments that the model takes beside `fields` and those of every Keras model."""
    _, _, *parameters = inspect.signature(model_class(name).__init__).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)


def options_of(name: str) -> tuple[str, ...]:
    """Names of those arguments but for the tables."""
    return tuple(argument for argument in arguments_of(name) if argument not in _TABLES)


def options_among(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Picks, from settings for any model, those that this one takes, as `build_model` does."""
    return {option: values[option] for option in options_of(name) if option in values}


def models_with(*arguments: str) -> tuple[str, ...]:
    """Names of the models that take all these arguments, in alphabetical order."""
    return tuple(name for name in sorted(MODELS) if {*arguments} <= {*arguments_of(name)})
