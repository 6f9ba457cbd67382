"""Which rows are train, validation and test: at random, by a hash, by a column, by time, or as given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pep_tf.data.columns.texts import Place, numbers_of, row_of_frame, texts_of
from pep_tf.data.columns.transform import column_of
from pep_tf.data.split import random_split
from pep_tf.data.store.assign import SPLITS, assign_rows
from pep_tf.data.tokens import text_keys_of
from pep_tf.errors import DataError

_KNOWN = (
    "'random', 'hash', 'hash:COLUMN', 'time:COLUMN', 'column:COLUMN', or the name of a split for "
    "each row"
)
_OF_COLUMN = ("hash", "time", "column")
_LISTS = Sequence | np.ndarray | pd.Series | pd.Index | pd.api.extensions.ExtensionArray


def split_values(frame: pd.DataFrame, split: Any, seed: int, place: Place) -> np.ndarray:
    """What `split_places` needs of the rows of a table, [n], or nothing, [0]; tables may be joined.

    Args:
        frame: n rows.
        split: `random`: 80/10/10, see `random_split`. `hash`: 80/10/10, by a hash of a row's number.
            `hash:COLUMN`: by a hash of the column's value, so that all rows with one value are in one
            split. `time:COLUMN`: the first 80 % of the time, the next 10 %, the last 10 %; rows of one
            time stay in the order of the table. `column:COLUMN`: the column has `train`, `validation`
            or `test`. Or these names themselves, one per row.
        seed: of `random` and `hash`.
        place: tells where a row is.

    Raises:
        DataError: no such split or column; a value that is no time or no split.
    """
    if isinstance(split, pd.Series) and len(split) == len(frame):
        _refuse_other_rows(split, frame)
    if not isinstance(split, str) or split in ("random", "hash"):
        return np.empty(0)
    if (column := split_column(split)) is None:
        raise DataError(f"`split` must be one of {_KNOWN}. Received: {split!r}")
    kind, values = split.partition(":")[0], column_of(frame, column)
    if kind == "column":
        return _named(values, column, place)
    if kind == "time":
        return times_of(values, column, place)
    texts = texts_of(values, column, place)
    return assign_rows(text_keys_of(texts.distinct), seed)[0][texts.codes]


def split_places(
    split: Any, values: np.ndarray, num_rows: int, seed: int, place: Place = row_of_frame
) -> np.ndarray:
    """The place in `SPLITS` of each of n rows, uint8 [n], by the `split_values` of all of them.

    Raises:
        DataError: a split without a row, or names that are not one per row.
    """
    if not isinstance(split, str):
        places = _named(pd.Series(_listed(split, num_rows), dtype=object), "split", place)
    elif split == "random":
        places = np.empty(num_rows, np.uint8)
        for s, rows in enumerate(random_split(num_rows, seed)):
            places[rows] = s
    elif split == "hash":
        places = assign_rows(np.arange(num_rows), seed)[0]
    else:
        places = _by_time(values) if split.startswith("time:") else values
    for name, rows in zip(SPLITS, np.bincount(places, minlength=len(SPLITS)), strict=True):
        if not rows:
            raise DataError(
                f"`split` must leave rows for {name}. Received: {split!r}, by which none"
            )
    return places


def split_column(split: Any) -> str | None:
    """The column that a split reads, if it reads one."""
    kind, _, column = split.partition(":") if isinstance(split, str) else ("", "", "")
    return column if kind in _OF_COLUMN and column else None


def is_drawn(split: Any) -> bool:
    """Whether a split depends on a seed."""
    return isinstance(split, str) and split.partition(":")[0] in ("random", "hash")


def _listed(split: Any, rows: int) -> list[Any]:
    if not isinstance(split, _LISTS) or len(split) != rows:
        found = f"{len(split)} in a {type(split).__name__}" if hasattr(split, "__len__") else split
        raise DataError(f"`split` must be one of {_KNOWN}, here {rows} names. Received: {found}")
    return list(split)


def _refuse_other_rows(split: pd.Series, frame: pd.DataFrame) -> None:
    """A Series in another order than the table would be taken for the rows in its own."""
    if not split.index.equals(frame.index):
        raise DataError(
            "`split` must have the index of the table: split.reindex(rows.index) puts it in the order "
            "of the rows, split.to_numpy() is as it stands. Received: a Series of another index"
        )


def _named(names: pd.Series, column: str, place: Place) -> np.ndarray:
    texts = texts_of(names, column, place)
    known = [name.encode() for name in SPLITS]
    if (bad := np.array([text not in known for text in texts.distinct])).any():
        raise texts.error(bad, f"one of {', '.join(SPLITS)} in every row")
    return np.array([known.index(text) for text in texts.distinct], np.uint8)[texts.codes]


def _by_time(times: np.ndarray) -> np.ndarray:
    if (times == times[0]).all():
        raise DataError(
            "`split` by time must have two times or more. Received: the same in each row"
        )
    places = np.empty(len(times), np.uint8)
    ends = [int(0.8 * len(times)), int(0.9 * len(times))]
    for s, rows in enumerate(np.split(np.argsort(times, kind="stable"), ends)):
        places[rows] = s
    return places


def times_of(values: pd.Series, column: str, place: Place) -> np.ndarray:
    """The times, [n]: float64 of numbers, int64 of dates.

    Raises:
        DataError: a value that is missing, or neither a number nor a date and time by ISO 8601.
    """
    if values.dtype.kind == "M" and not values.isna().any():
        return values.to_numpy("datetime64[ns]").view(np.int64)
    texts = texts_of(values, column, place)
    times = pd.Series(numbers_of(texts))
    if not np.isfinite(times).all():
        written = [text.decode("utf-8", "replace") for text in texts.distinct]
        times = pd.to_datetime(pd.Series(written), format="ISO8601", utc=True, errors="coerce")
        if (bad := times.isna().to_numpy()).any():
            demand = (
                "a time in every row, to split by: a number, or a date such as 2014-10-21 13:45:00"
            )
            raise texts.error(bad, demand)
        return times.to_numpy("datetime64[ns]").view(np.int64)[texts.codes]
    return times.to_numpy(np.float64)[texts.codes]
