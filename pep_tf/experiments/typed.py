"""Dataclasses from JSON, with every value of its field's type: what is drawn and printed can rely on it."""

import dataclasses
import math
import reprlib
from collections.abc import Callable
from typing import Any, TypeVar

from pep_tf.numbers import is_number, type_name

T = TypeVar("T")

# What JSON may hold in a field, by its type as it is written.
_IS: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: is_number(v) and isinstance(v, int),
    "float": lambda v: is_number(v) or (isinstance(v, float) and math.isnan(v)),
    "str": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool),
    "list": lambda v: isinstance(v, list),
    "dict": lambda v: isinstance(v, dict),
    "dict[str, str]": lambda v: isinstance(v, dict) and all(isinstance(x, str) for x in v.values()),
}


def read(kind: type[T], found: Any) -> T:
    """A dataclass from a JSON object.

    Raises:
        ValueError: no object, or one with a value that is missing, unknown or of another type.
    """
    what = f"a {kind.__name__.lower()}"
    if not isinstance(found, dict):
        raise ValueError(f"{what} must be an object. Received: {reprlib.repr(found)}")
    fields: dict[str, Any] = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name, field in fields.items():
        if name not in found and _has_default(field):
            continue
        value, wanted = found.get(name), type_name(field)
        written = wanted.removesuffix(" | None")
        fits = _IS[written if written in _IS else written.partition("[")[0]]
        if not (wanted != written and value is None) and not fits(value):
            raise ValueError(f"`{name}` must be {wanted}. Received: {reprlib.repr(value)}")
    if unknown := sorted(set(found) - set(fields)):
        raise ValueError(f"{what} has no {', '.join(unknown)}")
    return kind(**found)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    nothing = dataclasses.MISSING
    return field.default is not nothing or field.default_factory is not nothing
