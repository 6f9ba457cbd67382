"""The features of a data set: its fields, their vocabulary sizes, their places in the table."""

import dataclasses
import functools
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf.errors import DataError
from pep_tf.numbers import INT32_MAX


@dataclasses.dataclass(frozen=True)
class Field:
    """One categorical column.

    Attributes:
        name: column name, unique within a schema.
        size: vocabulary size; valid ids of the field are 0 to `size - 1`.
    """

    name: str
    size: int


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
            if not isinstance(field.size, numbers.Integral) or not 1 <= field.size <= INT32_MAX:
                raise DataError(
                    f"`size` of field {field.name!r} must be an integer from 1 to {INT32_MAX}. "
                    f"Received: {field.size!r}"
                )
        if self.num_features > INT32_MAX:
            raise DataError(
                f"All fields together must have at most {INT32_MAX:,} features, whose rows of the table "
                f"are int32. Received: {self.num_features:,}"
            )

    @classmethod
    def of(cls, sizes: dict[str, int]) -> "FeatureSchema":
        """Builds a schema from `{field name: vocabulary size}`, in the order of the dict."""
        return cls(tuple(Field(name, size) for name, size in sizes.items()))

    @classmethod
    def from_config(cls, config: Sequence[dict[str, Any]]) -> "FeatureSchema":
        """Rebuilds a schema from what `get_config` returned."""
        return cls(tuple(Field(str(f["name"]), f["size"]) for f in config))

    def get_config(self) -> list[dict[str, Any]]:
        """The schema as JSON-ready values: `[{"name": ..., "size": ...}, ...]`."""
        return [{"name": field.name, "size": int(field.size)} for field in self.fields]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(int(field.size) for field in self.fields)

    @property
    def size_by_name(self) -> dict[str, int]:
        """`{field name: vocabulary size}`, in column order: what the models take."""
        return dict(zip(self.names, self.sizes, strict=True))

    @property
    def num_fields(self) -> int:
        return len(self.fields)

    @property
    def num_features(self) -> int:
        """N, the number of rows of the shared table."""
        return sum(self.sizes)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """First table row of each field, int64 [F]."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.int64)
