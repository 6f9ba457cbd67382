"""MovieLens: raw values to the ids that the reader gave them, inside a serving graph."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.columns.categories import Known
from pep_tf.data.columns.encoder import ByRule
from pep_tf.data.columns.quantities import log_steps
from pep_tf.data.columns.transform import ColumnTransform
from pep_tf.data.movielens.rules import RULES
from pep_tf.data.raw import UNKNOWN
from pep_tf.errors import DataError, reading

FILE = "transform.json"
TIME_BUCKET, TIMESTAMP = "time_bucket", "timestamp"
NO_YEAR = 0  # what the small data set has where a movie has no title, and so no year


class MovieLensTransform(ColumnTransform):
    """Raw columns to per-field ids, by the vocabularies of the data.

    Each field reads the column of its name (text or int64, as the data set has it), but
    `time_bucket`, which reads `timestamp` in seconds.

    - A value that no file may hold fails the batch, its column named: see `RULES`.
    - A value that no rating of the data set has is `UNKNOWN`, and so is one that is missing: the
      empty text, or -1. A missing year is what training has for it, where it has such rows.
    - A time gets the last bucket of the data set that is not later, one before the first rating the
      first bucket: requests come later than all that was trained on.

    Args:
        vocabularies: `{field: sorted values}`, int64 or text; the id of a value is its place.
        first_time: earliest time of all ratings, where the time buckets count from, in seconds.

    Example:
        >>> transform = MovieLensTransform({"age": np.array([1, 18, 25])}, 0)
        >>> transform({"age": tf.constant([25, 2], tf.int64)}).numpy().tolist()
        [[2], [-1]]
    """

    def __init__(self, vocabularies: Mapping[str, np.ndarray], first_time: int) -> None:
        with tf.device("CPU"):  # where texts have to be
            encoders = {
                name: _TimeBucket(values, first_time)
                if name == TIME_BUCKET
                else KnownValues(name, values)
                for name, values in vocabularies.items()
            }
        super().__init__(encoders, {n: TIMESTAMP if n == TIME_BUCKET else n for n in vocabularies})
        lists = {name: values.tolist() for name, values in vocabularies.items()}
        self._config = json.dumps([lists, first_time])  # text: a tf.Module would wrap the lists
        self.fingerprint = hashlib.md5(self._config.encode()).hexdigest()

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


class KnownValues(ByRule, Known):
    """Values to their places; what is not among them, or is missing, is `UNKNOWN`."""

    unseen, first = UNKNOWN, 0

    def __init__(self, column: str, values: np.ndarray) -> None:
        super().__init__(values, column)
        self._column, self.rule = column, RULES[column]

    def encoding(self) -> dict[str, Any]:
        return {"name": "vocabulary"}  # what has no id adds nothing

    def read(self, texts: tf.Tensor) -> tf.Tensor:
        return tf.where(texts < 0, np.int64(NO_YEAR), texts) if self._column == "year" else texts

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        return self.encode(texts)


class _TimeBucket(ByRule):
    """Seconds to the place of their bucket, by the second at which each bucket starts.

    All of them are kept in a smaller transform: they divide time between them.
    """

    def __init__(self, buckets: np.ndarray, first_time: int) -> None:
        super().__init__(name=TIMESTAMP)
        self.rule, self.size = RULES[TIMESTAMP], len(buckets)
        # Buckets -2, -1, 0 start 0, 1 and 2 seconds after the first time, see `time_bucket`.
        starts = np.concatenate([[0, 1, 2], log_steps()])[buckets + 2]
        self._starts = tf.Variable(starts + first_time, trainable=False, name="bucket_starts")

    def encoding(self) -> dict[str, Any]:
        function = "the last start that is not later than the time, in seconds; else the first"
        return {"name": "time", "function": function, "starts": self._starts.numpy().tolist()}

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        place = tf.searchsorted(self._starts.read_value(), texts, side="right") - 1
        return tf.where(texts < 0, UNKNOWN, tf.maximum(place, 0))
