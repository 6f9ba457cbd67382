"""The description of a data set: what its columns are, and what becomes of the rows of a table by it."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from pep_tf.data import checks
from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.columns.kinds import Feature, read_features
from pep_tf.data.columns.labels import Drop, label_column, read_labels, read_weights
from pep_tf.data.columns.learn import Learner
from pep_tf.data.columns.multi import joined_lists
from pep_tf.data.columns.splits import is_drawn, split_column
from pep_tf.data.columns.texts import Place, Texts, refuse_rounded, texts_of
from pep_tf.data.columns.transform import ColumnTransform, column_of
from pep_tf.data.hashing import mix
from pep_tf.data.store.assign import SPLITS
from pep_tf.errors import DataError
from pep_tf.numbers import whole


@dataclasses.dataclass(frozen=True)
class TableRows:
    """Rows of a table that are kept.

    Attributes:
        frame: all its columns.
        numbers: int64 [n], places of the rows in the table as it was read.
        labels: float32 [n].
        weights: float32 [n], or None.
        columns: the texts of each column that a feature reads.
        place: tells where a row is.
    """

    frame: pd.DataFrame
    numbers: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None
    columns: dict[str, Texts]
    place: Place

    def content(self) -> np.ndarray:
        """int32 [n, 2 or 3], a 64-bit hash of the texts of each row, whatever becomes of them, and its weight."""
        hashes: Any = np.uint64(0)
        for texts in self.columns.values():
            hashes = mix(hashes ^ texts.keys[texts.codes])
        parts = [hashes] if self.weights is None else [hashes, self.weights]
        return np.concatenate([part[:, None].view(np.int32) for part in parts], axis=1)


@dataclasses.dataclass(frozen=True)
class Declaration:
    """How rows are labelled, split and weighted, and what their features are; see `from_dataframe`."""

    label: str
    features: tuple[Feature, ...]
    split: Any
    weight: str | None
    drop: Mapping[str, Any]
    seed: int

    @classmethod
    def of(
        cls,
        label: str,
        features: Mapping[str, str],
        *,
        split: Any = "random",
        weight: str | None = None,
        drop: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> "Declaration":
        """Reads the arguments of `from_dataframe`."""
        for option, value in (("label", label), ("weight", weight)):
            if not isinstance(value, str) and (value is not None or option == "label"):
                raise DataError(
                    f"`{option}` must be the name of a column. Received: {type(value).__name__}"
                )
        if not isinstance(drop or {}, Mapping):
            raise DataError(f"`drop` must be a dict, such as {{'rating': 3}}. Received: {drop!r}")
        seed = whole("seed", seed, least=0)
        return cls(label, read_features(features), split, weight, dict(drop or {}), seed)

    def columns(self, names: Collection[str]) -> list[str]:
        """The columns that it reads of a table with these."""
        return list(dict.fromkeys([*(f.column for f in self.features), *self.others(names)]))

    def others(self, names: Collection[str]) -> list[str]:
        """Those of them that are no features: label, split, weight, and what rows are left out by."""
        own = [label_column(self.label, names), split_column(self.split), self.weight, *self.drop]
        return list(dict.fromkeys(filter(None, own)))

    def check_names(self, names: Sequence[str]) -> None:
        """Raises DataError if the label is among the features."""
        own = label_column(self.label, names)
        if own in {field.column for field in self.features}:
            raise DataError(f"`features` must not have the label's column {own!r} among them.")

    def read(
        self, frame: pd.DataFrame, place: Place, drop: Drop, features: Iterable[Feature]
    ) -> TableRows:
        """Reads the rows of a table.

        Args:
            frame: of n rows.
            place: tells where a row is.
            drop: finds the rows to leave out.
            features: those that are wanted.

        Raises:
            DataError: a value that cannot be trained on, with its column and row.
        """
        numbers = np.flatnonzero(~drop(frame, place))  # rows keep the numbers they had
        if len(numbers) < len(frame):
            frame = frame.iloc[numbers]

        def at(row: int) -> str:
            return place(int(numbers[row]))

        labels = read_labels(frame, self.label, at)
        weights = None if self.weight is None else read_weights(frame, self.weight, at)
        fields = list(features)
        columns = {field.column: _read(frame, field.column, fields, at) for field in fields}
        return TableRows(frame, numbers, labels, weights, columns, at)

    def fit(self, learners: Mapping[str, Learner]) -> ColumnTransform:
        """The transform, of what its fields have learned from the training rows."""
        encoders = {}
        with tf.device("CPU"):
            for place, field in enumerate(self.features):
                seen = learners[field.name].seen(place)
                if field.encoder.learns and not seen.texts:
                    raise constant(field.name, learners[field.name].rows)
                encoders[field.name] = field.encoder.fit(seen, field.argument)
        return ColumnTransform(encoders, {field.name: field.column for field in self.features})

    def check_classes(self, rows: Mapping[str, int], clicks: Mapping[str, int]) -> None:
        """Refuses a split in which one label does not occur; rows of weight 0 do not count."""
        for name in SPLITS:
            try:
                classes = checks.counted_classes(rows[name], clicks[name])
                checks.check_classes(name, rows[name], classes)
            except DataError as error:
                raise DataError(f"{error}; choose another `split` than {self.split!r}") from None

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each field, as it was declared."""
        return {field.name: field.declared for field in self.features}

    @property
    def split_by(self) -> dict[str, Any]:
        """What splits the rows."""
        drawn = {"split seed": self.seed} if is_drawn(self.split) else {}
        return {"split": self.split if isinstance(self.split, str) else "given", **drawn}

    def details(self, source: str, rows_read: int, rows: int, positive_rate: float) -> dict:
        """Facts on a data set that was read by it."""
        return {
            "source": source,
            "fields": self.kinds,
            "label": self.label,
            **({} if self.weight is None else {"weight": self.weight}),
            "rows_read": rows_read,
            "rows_dropped": rows_read - rows,
            "rows": rows,
            "positive_rate": positive_rate,
            **self.split_by,
        }


def encode(encoder: Encoder, texts: Texts) -> np.ndarray:
    """The ids int32 [n, columns of the field] of a column."""
    return encoder.ids_of(texts).reshape(len(texts.distinct), -1)[texts.codes]


def constant(field: str, rows: int) -> DataError:
    """The error of a field that is the same in all training rows."""
    return DataError(
        f"`{field}` must have two values or more in the training rows. Received: the same "
        f"in all {rows} of them; leave it out"
    )


def _read(frame: pd.DataFrame, name: str, fields: Sequence[Feature], place: Place) -> Texts:
    """The texts of a column, each of which the kinds of all its fields can read."""
    separator = next((f.separator for f in fields if f.column == name), None)
    column = joined_lists(column_of(frame, name), name, separator, place)
    kinds = [field.encoder for field in fields if field.column == name]
    if any(kind.whole_numbers for kind in kinds):
        refuse_rounded(column, name, place)
    texts = texts_of(column, name, place)
    for kind in kinds:
        if (bad := kind.refused_of(texts)).any():
            raise texts.error(bad, kind.must_be)
    return texts
