"""Rows of a table to ids: the one definition, for training and inside the exported graph."""

import copy
import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.columns.multi import joined_lists
from pep_tf.data.columns.texts import texts_of
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
            FieldKeys({"column": self._columns[name], **encoder.encoding()}, encoder.key_texts())
            for name, encoder in self.encoders.items()
        ]

    def texts(self, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """Rows of a table as a request has them: `{column: texts, object [n]}`.

        Raises:
            DataError: a column is missing or twice, or a value that is no single one.
        """
        separators = {self._columns[n]: e.separator for n, e in self.encoders.items()}
        found = {}
        for name in self.raw_columns():
            column = joined_lists(column_of(rows, name), name, separators[name])
            found[name] = texts_of(column, name).of_rows(np.arange(len(rows)))
        return found

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """int32 [B, C], per-field ids, of `{column: string [B]}`."""
        with tf.device("CPU"):
            columns = self.raw_columns()
            refused = {name: tf.zeros_like(raw[name], tf.bool) for name in columns}
            for name, encoder in self.encoders.items():
                column = self._columns[name]
                refused[column] |= encoder.refused_here(raw[column])
            values = [raw[name] for name in columns]
            with tf.control_dependencies([refuse(columns, values, [*refused.values()])]):
                ids = [
                    tf.reshape(encoder(raw[self._columns[name]]), [-1, encoder.width])
                    for name, encoder in self.encoders.items()
                ]
                return tf.concat(ids, axis=1)


def column_of(frame: pd.DataFrame, name: str) -> pd.Series:
    """The one column of that name.

    Raises:
        DataError: there is none, or several.
    """
    found = list(frame.columns).count(name)
    if found != 1:
        known = ", ".join(map(str, frame.columns[:20]))
        raise DataError(
            f"The table must have one column {name!r}. Received: "
            f"{f'{found} of them' if found else f'none, among {known}'}"
        )
    return frame[name]
