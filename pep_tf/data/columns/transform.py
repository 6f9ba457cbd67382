"""Rows of a table to ids: the one definition, for training and inside the exported graph."""

import copy
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.columns.multi import joined_lists
from pep_tf.data.columns.texts import refuse_rounded, texts_of
from pep_tf.data.field_keys import FieldKeys
from pep_tf.data.raw import RawColumn, refuse
from pep_tf.data.schema import FeatureSchema, Field
from pep_tf.errors import DataError


class ColumnTransform(tf.Module):
    """Raw columns, each of texts (see `texts.py`), to per-field ids; implements `RawTransform`.

    - A value that its kind cannot read fails the batch, its column named.
    - A missing value, the empty text, is id 0 of its field.
    - A value that no training row has is id 1 of a `vocabulary` and of an `integer`; every other kind
      has an id for all values.

    Args:
        encoders: `{field: encoder}`, in column order; an attribute, too.
        columns: `{field: column that it reads}`.

    Attributes:
        fingerprint: md5 of everything that decides an id.
    """

    def __init__(self, encoders: Mapping[str, Encoder], columns: Mapping[str, str]) -> None:
        super().__init__(name="columns")
        self.encoders, self._columns = dict(encoders), dict(columns)
        self.schema = FeatureSchema(tuple(Field(name, **e.field) for name, e in encoders.items()))
        parts = [(name, columns[name], e.fingerprint) for name, e in encoders.items()]
        self.fingerprint = hashlib.md5(repr(parts).encode()).hexdigest()

    def without(self, empty: np.ndarray) -> "ColumnTransform":
        """See `RawTransform.without`."""
        smaller = copy.copy(self)
        parts = np.split(empty, self.schema.offsets[1:])
        with tf.device("CPU"):
            smaller.encoders = {
                name: encoder.without(part)
                for (name, encoder), part in zip(self.encoders.items(), parts, strict=True)
            }
        return smaller

    def raw_columns(self) -> dict[str, RawColumn]:
        """The columns that it reads, each string [B]; what two fields ask of one must both hold."""
        columns: dict[str, RawColumn] = {}
        for name, encoder in self.encoders.items():
            column, own = self._columns[name], encoder.column
            if column in columns and own.must_be not in columns[column].must_be:
                both = f"{columns[column].must_be}, and {own.must_be}"
                own = dataclasses.replace(own, must_be=both)
            columns.setdefault(column, own)
            columns[column] = own if own.must_be not in columns[column].must_be else columns[column]
        return columns

    def field_keys(self) -> list[FieldKeys]:
        """See `RawTransform.field_keys`."""
        return [
            FieldKeys({"column": self._columns[name], **e.encoding()}, e.key_texts(), e.key_codes())
            for name, e in self.encoders.items()
        ]

    def texts(self, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """Rows of a table as a request has them: `{column: texts, object [n]}`.

        Raises:
            DataError: a column is missing or twice, a value that is no single one, or a float that may be a
                rounded whole number.
        """
        separators = {self._columns[n]: e.separator for n, e in self.encoders.items()}
        exact = {self._columns[n] for n, e in self.encoders.items() if e.whole_numbers}
        found = {}
        for name in self.raw_columns():
            column = joined_lists(column_of(rows, name), name, separators[name])
            if name in exact:
                refuse_rounded(column, name)
            found[name] = texts_of(column, name).of_rows(np.arange(len(rows)))
        return found

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """int32 [B, C], per-field ids.

        Args:
            raw: `{column: tensor [B]}`, string or as the column has it; integers are taken as their decimal
                text. Columns that no field reads are ignored.

        Raises:
            DataError: a column is absent, or neither text nor integers.
            InvalidArgumentError: a value that training would refuse.
        """
        with tf.device("CPU"):
            columns = self.raw_columns()
            if absent := sorted(set(columns) - set(raw)):
                raise DataError(f"`raw` must hold every column of the transform. Missing: {absent}")
            values = {name: _as_asked(raw[name], name, asked) for name, asked in columns.items()}
            refused = {name: tf.zeros_like(own, tf.bool) for name, own in values.items()}
            groups = self._groups(values)
            for names, encoder, texts in groups:
                wrong = encoder.refused_here(texts)
                for name, own in zip(names, _columns_of(wrong, len(names)), strict=True):
                    refused[self._columns[name]] |= own
            checked = refuse(columns, [*values.values()], [*refused.values()])
            with tf.control_dependencies([checked]):
                ids = [
                    tf.reshape(encoder(texts), [-1, len(names) * encoder.width])
                    for names, encoder, texts in groups
                ]
                found = tf.concat(ids, axis=1)
            order = [name for names, *_ in groups for name in names]
            if order == [*self.encoders]:
                return found
            starts = np.cumsum([0, *(self.encoders[name].width for name in order)])
            places = dict(zip(order, starts, strict=False))
            return tf.gather(
                found,
                [places[n] + i for n, e in self.encoders.items() for i in range(e.width)],
                axis=1,
            )

    def _groups(
        self, values: Mapping[str, tf.Tensor]
    ) -> list[tuple[list[str], Encoder, tf.Tensor]]:
        """The fields whose ids are computed at once, by which encoder, of which texts [B] or [B, k]."""
        together: dict[Any, list[str]] = {}
        for name, encoder in self.encoders.items():
            together.setdefault(encoder.alike or name, []).append(name)
        found = []
        for names in together.values():
            first, *others = (self.encoders[name] for name in names)
            texts = [values[self._columns[name]] for name in names]
            if others:
                found.append((names, first.joined([first, *others]), tf.stack(texts, axis=1)))
            else:
                found.append((names, first, texts[0]))
        return found


def _as_asked(values: tf.Tensor, name: str, column: RawColumn) -> tf.Tensor:
    values = tf.convert_to_tensor(values)
    if column.dtype != tf.string or values.dtype == tf.string:
        return values
    if not values.dtype.is_integer:
        raise DataError(f"`{name}` must be text or integers. Received: {values.dtype.name}")
    return tf.strings.as_string(values)


def _columns_of(values: tf.Tensor, count: int) -> list[tf.Tensor]:
    return [values] if count == 1 else tf.unstack(values, num=count, axis=1)


def column_of(frame: pd.DataFrame, name: str) -> pd.Series:
    """The one column of that name.

    Raises:
        DataError: there is none, or several.
    """
    column = frame[name] if name in frame.columns else None
    if isinstance(column, pd.Series):
        return column
    known = ", ".join(map(str, frame.columns[:20]))
    raise DataError(
        f"The table must have one column {name!r}. Received: "
        f"{f'none, among {known}' if column is None else f'{column.shape[1]} of them'}"
    )
