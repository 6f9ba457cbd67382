"""The features of a data set: its fields, their vocabulary sizes, their places in the table."""

import dataclasses
import functools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pep_tf.errors import DataError
from pep_tf.numbers import INT32_MAX

COMBINERS = ("sum", "mean", "sqrtn")
FLOAT = "float"


@dataclasses.dataclass(frozen=True)
class Field:
    """One categorical column, a bag of values, or a number.

    Attributes:
        name: column name, unique within a schema.
        size: vocabulary size; valid ids of the field are 0 to `size - 1`.
        width: columns of ids; more than one in a bag, whose id 0 stands where it has no value.
        combiner: of a bag, how the embeddings of its values become one: "mean", "sum" or "sqrtn" (the
            sum over the root of their number). "float": the field is a number and has one feature,
            whose embedding counts times the number; its column of ids has the bits of a float32. None:
            the field has one value.
    """

    name: str
    size: int
    width: int = 1
    combiner: str | None = None

    @classmethod
    def of(cls, name: str, size: int | Mapping[str, Any]) -> "Field":
        """Of a vocabulary size, or of what `size_or_bag` gave."""
        if isinstance(size, str) and size == FLOAT:
            return cls(name, 1, combiner=FLOAT)
        return cls(name, **size) if isinstance(size, Mapping) else cls(name, size)

    @property
    def size_or_bag(self) -> Any:
        """The vocabulary size; of a bag, JSON-ready, what it is besides its name; of a number "float"."""
        if self.combiner in (None, FLOAT):
            return int(self.size) if self.combiner is None else FLOAT
        return {"size": int(self.size), "width": int(self.width), "combiner": self.combiner}


@dataclasses.dataclass(frozen=True)
class FeatureSchema:
    """The fields of a data set, in column order.

    All fields share one embedding table of `num_features` rows (N): the feature with id `i` of
    field `f` is row `offsets[f] + i`.

    Example:
        >>> schema = FeatureSchema.of({"gender": 2, "age": 7})
        >>> schema.num_features, schema.offsets.tolist()
        (9, [0, 2])

    Raises:
        DataError: no field, a field whose size is no integer from 1 to 2^31 - 1, more than that in all,
            or a name that is used twice.
    """

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        if not self.fields:
            raise DataError("A schema must have at least one field. Received: no fields.")
        if repeated := sorted({n for n in self.names if self.names.count(n) > 1}):
            raise DataError(f"Field names must be unique. Received more than once: {repeated}")
        for field in self.fields:
            _check_values(field)
            if not isinstance(field.size, numbers.Integral) or not 1 <= field.size <= INT32_MAX:
                raise DataError(
                    f"`size` of field {field.name!r} must be an integer from 1 to {INT32_MAX}. "
                    f"Received: {field.size!r}"
                )
        if self.is_float.all():
            raise DataError("A schema must have a field of ids. Received: nothing but numbers.")
        if self.num_features > INT32_MAX:
            raise DataError(
                f"All fields together must have at most {INT32_MAX:,} features, whose rows of the table "
                f"are int32. Received: {self.num_features:,}"
            )

    @classmethod
    def of(cls, sizes: Mapping[str, Any]) -> "FeatureSchema":
        """Builds a schema from `{field name: vocabulary size}`, in the order of the dict.

        A bag has `{"size": n, "width": values, "combiner": "mean"}` in place of its size, a number "float".
        """
        return cls(tuple(Field.of(name, size) for name, size in sizes.items()))

    @classmethod
    def from_config(cls, config: Sequence[dict[str, Any]]) -> "FeatureSchema":
        """Rebuilds a schema from what `get_config` returned."""
        return cls(tuple(Field(**{**field, "name": str(field["name"])}) for field in config))

    def get_config(self) -> list[dict[str, Any]]:
        """The schema as JSON-ready values: `[{"name": ..., "size": ...}, ...]`."""
        return [
            {"name": f.name, "size": int(f.size)}
            | ({"width": int(f.width), "combiner": f.combiner} if f.combiner else {})
            for f in self.fields
        ]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(int(field.size) for field in self.fields)

    @property
    def size_by_name(self) -> dict[str, Any]:
        """`{field name: vocabulary size}`, in column order: what the models take; of a bag see `of`."""
        return {field.name: field.size_or_bag for field in self.fields}

    @property
    def num_fields(self) -> int:
        return len(self.fields)

    @functools.cached_property
    def column_fields(self) -> np.ndarray:
        """The field of each column of ids, int64 [C]: a field has one, a bag several."""
        return np.repeat(np.arange(self.num_fields), [field.width for field in self.fields])

    @functools.cached_property
    def is_float(self) -> np.ndarray:
        """Which columns of ids hold the bits of a number, bool [C]."""
        return np.array([field.combiner == FLOAT for field in self.fields])[self.column_fields]

    @property
    def combines(self) -> bool:
        """Whether a field is a bag or a number."""
        return any(field.combiner for field in self.fields)

    @property
    def num_features(self) -> int:
        """N, the number of rows of the shared table."""
        return sum(self.sizes)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """First table row of each field, int64 [F]."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.int64)


def _check_values(field: Field) -> None:
    if field.combiner == FLOAT and (field.size, field.width) == (1, 1):
        return
    is_bag = field.combiner is not None
    whole = isinstance(field.width, numbers.Integral) and field.width >= 1
    if (
        (is_bag and field.combiner not in COMBINERS)
        or not whole
        or (field.width > 1 and not is_bag)
    ):
        raise DataError(
            f"Field {field.name!r} must have one value, or be a bag of `width` values at most with a "
            f"`combiner` among {list(COMBINERS)}, or a number. Received: width={field.width!r}, "
            f"combiner={field.combiner!r}"
        )
