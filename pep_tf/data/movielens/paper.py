"""From rated rows to the features of the paper: ids of all values that occur, time in buckets."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from pep_tf.data.columns.quantities import log_bucket
from pep_tf.data.dataset import CTRData
from pep_tf.data.identity import Identity
from pep_tf.data.movielens.transform import MovieLensTransform
from pep_tf.data.split import split_arrays
from pep_tf.errors import DataError

NEUTRAL_RATING = 3  # neither liked nor disliked: such rows are dropped


def time_bucket(timestamps: np.ndarray) -> np.ndarray:
    """Buckets seconds by the squared logarithm of the time since the earliest rating.

    With v = t - min(t): `int(ln(v)**2)` where v > 2, else v - 2. So the buckets are -2, -1, 0 for
    the first seconds, then 1, 2, ... in ever longer stretches.

    Args:
        timestamps: int64 [n], seconds, of ALL rated rows: for the minimum, those dropped later
            count as well.

    Returns:
        int64 [n].

    Example:
        >>> time_bucket(np.array([100, 101, 102, 103, 100 + 1000])).tolist()
        [-2, -1, 0, 1, 47]
    """
    with tf.device("CPU"):
        return log_bucket(tf.constant(timestamps - timestamps.min())).numpy()


def encode(frame: pd.DataFrame, fields: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Turns columns into ids.

    The vocabulary of a field is what occurs in `frame`, sorted (numbers by value, text by code
    point); a value's id is its place there.

    Args:
        frame: n rows with a column, int64 or text without missing values, for each field.
        fields: the columns to use, in this order.

    Returns:
        ids int32 [n, F], and the vocabulary of each field: its values, int64 or text, by their ids.
    """
    ids = np.empty((len(frame), len(fields)), np.int32)
    vocabularies = {}
    for i, name in enumerate(fields):
        # A categorical (sorted categories) is a column whose values were joined by their codes.
        values = frame[name].astype("category").cat.remove_unused_categories()
        ids[:, i] = values.cat.codes
        vocabularies[name] = values.cat.categories.to_numpy()
    return ids, vocabularies


def rated_data(
    frame: pd.DataFrame,
    fields: Sequence[str],
    *,
    name: str,
    seed: int,
    details: dict[str, Any],
) -> CTRData:
    """Builds the data set of a table of ratings.

    Ratings above 3 are positive, below 3 negative, rows of exactly 3 are dropped. Time buckets
    count from the earliest of all ratings; the vocabularies are built after the drop, over all
    splits.

    Args:
        frame: a row for each rating in the order of the source: `rating`, `timestamp` (int64
            seconds) and a column for each field but `time_bucket`, which is made here.
        fields: the fields to use, in this order.
        name: name of the data set.
        seed: seed of the split.
        details: facts on the origin, to which the counts are added.

    Raises:
        DataError: too few rows to split.
    """
    bucket = pd.Series(time_bucket(frame["timestamp"].to_numpy()), index=frame.index)
    frame = frame.assign(time_bucket=bucket)
    kept = frame[frame["rating"] != NEUTRAL_RATING]
    labels = (kept["rating"] > NEUTRAL_RATING).to_numpy(np.float32)
    if len(kept) < 10:
        raise DataError(
            f"{name} must hold at least 10 ratings other than {NEUTRAL_RATING}. "
            f"Received: {len(kept)} of {len(frame)}, from {details.get('source')}"
        )
    ids, vocabularies = encode(kept, fields)
    transform = MovieLensTransform(vocabularies, int(frame["timestamp"].min()))
    train, validation, test = split_arrays(ids, labels, seed)
    return CTRData(
        name=name,
        schema=transform.schema,
        train=train,
        validation=validation,
        test=test,
        details={
            **details,
            "fields": list(fields),
            "rows_read": len(frame),
            "rows_dropped": len(frame) - len(kept),
            "rows": len(kept),
            "positive_rate": float(math.fsum(labels) / len(labels)),
            "split_seed": seed,
        },
        transform=transform,
        known=Identity(
            split={"split seed": seed},
            options={"features": str(details.get("features"))},
            source=f"the ratings of {name}",
        ),
        examples={name: kept[name].iloc[:2].to_numpy() for name in transform.raw_columns()},
    )
