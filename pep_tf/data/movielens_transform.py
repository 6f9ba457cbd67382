"""MovieLens: raw values to the ids that the reader gave them, inside a serving graph."""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.keys import log_steps
from pep_tf.data.lookup import NumberLookup, TextLookup
from pep_tf.data.movielens_values import rule_of
from pep_tf.data.raw import UNKNOWN, RawColumn, refuse
from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import DataError, reading

FILE = "transform.json"
TIME_BUCKET, TIMESTAMP = "time_bucket", "timestamp"
NO_YEAR = 0  # what the small data set has where a movie has no title, and so no year


class MovieLensTransform(tf.Module):
    """Raw columns to per-field ids, by the vocabularies of the training data.

    Each field reads the column of its name (text or int64, as the data set has it), but
    `time_bucket`, which reads `timestamp` in seconds.

    - A value that no file may hold fails the batch, its column named: see `movielens_values.py`.
    - A value that no rating of the data set has is `UNKNOWN`, and so is one that is missing: the
      empty text, or -1. A missing year is what training has for it, where it has such rows.
    - A time gets the last bucket of the data set that is not later, one before the first rating the
      first bucket: requests come later than all that was trained on.

    Args:
        vocabularies: `{field: sorted values}`, int64 or text; the id of a value is its place.
        first_time: earliest time of all ratings, where the time buckets count from, in seconds.

    Attributes:
        fingerprint: md5 of everything that decides an id.

    Example:
        >>> transform = MovieLensTransform({"age": np.array([1, 18, 25])}, 0)
        >>> transform({"age": tf.constant([25, 2], tf.int64)}).numpy().tolist()
        [[2], [-1]]
    """

    def __init__(self, vocabularies: Mapping[str, np.ndarray], first_time: int) -> None:
        super().__init__(name="movielens")
        lists = {name: values.tolist() for name, values in vocabularies.items()}
        self._config = json.dumps([lists, first_time])  # text: a tf.Module would wrap the lists
        self.fingerprint = hashlib.md5(self._config.encode()).hexdigest()
        self.schema = FeatureSchema.of({name: len(v) for name, v in vocabularies.items()})
        self._fields: dict[str, _TimeBuckets | NumberLookup | TextLookup] = {}
        with tf.device("CPU"):  # where texts have to be
            for name, values in vocabularies.items():
                if name == TIME_BUCKET:
                    self._fields[name] = _TimeBuckets(values, first_time)
                else:
                    kind = NumberLookup if values.dtype.kind == "i" else TextLookup
                    self._fields[name] = kind(values, name)
        columns = {column_of(name): field.dtype for name, field in self._fields.items()}
        self._rules = {name: rule_of(name, dtype) for name, dtype in columns.items()}

    def without(self, empty: np.ndarray) -> "MovieLensTransform":
        """See `RawTransform.without`: unknown values add nothing, so any empty feature may go."""
        smaller = copy.copy(self)
        parts = np.split(empty, self.schema.offsets[1:])
        with tf.device("CPU"):
            smaller._fields = {
                name: field.without(part)
                for (name, field), part in zip(self._fields.items(), parts, strict=True)
            }
        return smaller

    def save(self, folder: Path) -> None:
        """Writes `transform.json`."""
        (folder / FILE).write_text(self._config, "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "MovieLensTransform":
        """Reads what `save` wrote.

        Raises:
            DataError: no transform there, or a damaged one.
        """
        path = folder / FILE
        if not path.exists():
            raise DataError(
                f"{path}: no such file; prepare the data again with this version and --overwrite."
            )
        with reading(path, DataError, "prepare the data again"):
            values, first_time = json.loads(path.read_text("utf-8"))
            return cls({name: np.array(own) for name, own in values.items()}, first_time)

    def raw_columns(self) -> dict[str, RawColumn]:
        """The columns that it reads, each string or int64 [B]."""
        return {name: rule.column for name, rule in self._rules.items()}

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """int32 [B, F], per-field ids or `UNKNOWN`, of `{column: tensor [B]}`."""
        with tf.device("CPU"):
            values = {name: raw[name] for name in self._rules}
            refused = [rule.refused(values[name]) for name, rule in self._rules.items()]
            with tf.control_dependencies([refuse(self.raw_columns(), [*values.values()], refused)]):
                if "year" in values:
                    values["year"] = tf.where(values["year"] < 0, np.int64(NO_YEAR), values["year"])
                ids = [field(values[column_of(name)]) for name, field in self._fields.items()]
                return tf.stack(ids, axis=1)


def column_of(field: str) -> str:
    """The raw column that a field reads."""
    return TIMESTAMP if field == TIME_BUCKET else field


class _TimeBuckets(tf.Module):
    """Seconds to the place of their bucket, by the second at which each bucket starts."""

    dtype = tf.int64

    def __init__(self, buckets: np.ndarray, first_time: int) -> None:
        super().__init__(name=TIME_BUCKET)
        # Buckets -2, -1, 0 start 0, 1 and 2 seconds after the first time, see `time_bucket`.
        starts = np.concatenate([[0, 1, 2], log_steps()])[buckets + 2]
        self._starts = tf.Variable(starts + first_time, trainable=False, name="bucket_starts")

    def without(self, empty: np.ndarray) -> "_TimeBuckets":
        """All buckets: they divide time between them, so none can go."""
        del empty
        return self

    def __call__(self, times: tf.Tensor) -> tf.Tensor:
        place = tf.searchsorted(self._starts.read_value(), times, side="right") - 1
        return tf.where(times < 0, UNKNOWN, tf.maximum(place, 0))
