"""The kind `multi`: several values in a column, which become one field, a bag of their ids."""

import functools
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf

from pep_tf.data.columns.categories import MAX_BYTES, Category
from pep_tf.data.columns.encoder import Encoder, Seen
from pep_tf.data.columns.texts import Place, refuse_rounded, row_of_frame, texts_of
from pep_tf.errors import DataError


class Multi(Category):
    """Values with a separator between them, each by an encoder of its own; what is empty is left out.

    Args:
        values: encodes each.
        separator: one character.
        width: values per row at most.
        combiner: see `Field`.
    """

    must_be = f"text of at most {MAX_BYTES} bytes"

    def __init__(self, values: Encoder, separator: str, width: int, combiner: str) -> None:
        super().__init__(name="multi")
        self._values, self.separator = values, separator
        self.size, self.width, self.combiner = values.size, width, combiner
        self.must_be = (
            f"text of at most {MAX_BYTES} bytes and {width} values, with {separator} between them"
        )

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        separator, combiner, kind, of_values = argument
        mark = separator.encode()
        width = 1 + max((text.count(mark) for text in seen.everywhere), default=0)
        return cls(kind.fit(seen, of_values), separator, width, combiner)

    def refused_here(self, texts: tf.Tensor) -> tf.Tensor:
        values = self._split(texts).row_lengths()
        return self.refused(texts) | (values > self.width)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """int32 [B, width]."""
        values = self._split(texts)
        ids = values.with_flat_values(self._values(values.flat_values))
        return ids.to_tensor(default_value=0, shape=[None, self.width])

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(texts, self.separator)

    def without(self, empty: np.ndarray) -> "Multi":
        smaller = self._values.without(empty)
        assert self.separator is not None
        assert self.combiner is not None
        return Multi(smaller, self.separator, self.width, self.combiner)

    def encoding(self) -> dict[str, Any]:
        return {**self._values.encoding(), "separator": self.separator}

    def key_texts(self) -> list[bytes] | None:
        return self._values.key_texts()

    def state(self) -> list[Any]:
        return [self.separator, self.width, self.combiner, self._values.fingerprint]


def joined_lists(
    column: pd.Series, name: str, separator: str | None, place: Place = row_of_frame
) -> pd.Series:
    """A column of a bag with its lists as texts; any other column, or one without lists, as it is.

    Raises:
        DataError: a separator inside a value, or a value of a list that is no single one, or a float that
            may be a rounded whole number, as pandas makes of an integer beside a gap.
    """
    if separator is None or not _may_hold_lists(column.dtype):
        return column
    joined = column.astype(object)
    mark = separator.encode()
    for row, values in enumerate(joined):
        if not pd.api.types.is_list_like(values) or isinstance(values, Mapping):
            continue
        here = functools.partial(_place_of_list, place, row)
        items = pd.Series(list(values), dtype=object)
        refuse_rounded(items, name, here)
        parts = texts_of(items, name, here)
        if any(mark in part for part in parts.distinct):
            raise DataError(
                f"`{name}` must have no value with its separator {separator!r} inside. "
                f"Received: {values!r} in {place(row)}"
            )
        joined.iat[row] = mark.join(parts.of_rows(np.arange(len(values))))
    return joined


def _may_hold_lists(dtype: Any) -> bool:
    if isinstance(dtype, pd.ArrowDtype):
        return pa.types.is_nested(dtype.pyarrow_dtype)
    return not isinstance(dtype, pd.CategoricalDtype) and dtype.kind == "O"


def _place_of_list(place: Place, row: int, item: int) -> str:
    return f"the list in {place(row)}"
