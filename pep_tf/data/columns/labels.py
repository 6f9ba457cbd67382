"""Which rows are kept and how they are labelled, by the value of a column."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pep_tf.data.columns.texts import Place, numbers_of, texts_of
from pep_tf.data.columns.transform import column_of
from pep_tf.errors import DataError
from pep_tf.numbers import real

_ABOVE = re.compile(r"\s*(?P<column>.+?)\s*(?P<sign>>=?)\s*(?P<threshold>[^>=]+?)\s*")
_CLASSES = {b"0": 0.0, b"1": 1.0, b"0.0": 0.0, b"1.0": 1.0, b"False": 0.0, b"True": 1.0}


def label_column(label: Any, columns: Collection[str]) -> str:
    """Which of the columns a label is read from, see `read_labels`."""
    if label in columns:
        return label
    found = _ABOVE.fullmatch(label) if isinstance(label, str) else None
    return found["column"] if found else label


def read_labels(frame: pd.DataFrame, label: str, place: Place) -> np.ndarray:
    """The labels of all rows, float32 [n], each 0 or 1.

    Args:
        frame: n rows.
        label: a column of 0 and 1, or of False and True; or a column of numbers with a threshold,
            such as `rating > 3`.
        place: tells where a row is.

    Raises:
        DataError: no such column; a value that is missing, or neither of the two.
    """
    name = label_column(label, list(frame.columns))
    column = column_of(frame, name)
    if name == label:
        return _classes(column, name, place)
    found = _ABOVE.fullmatch(label)
    assert found
    threshold = real(f"threshold of {label}", found["threshold"])
    texts = texts_of(column, name, place)
    numbers = numbers_of(texts)
    if (bad := ~np.isfinite(numbers)).any():
        raise texts.error(bad, f"a number in every row, to be compared with {threshold:g}")
    numbers = numbers[texts.codes]
    above = numbers >= threshold if found["sign"] == ">=" else numbers > threshold
    return above.astype(np.float32)


def _classes(column: pd.Series, name: str, place: Place) -> np.ndarray:
    texts = texts_of(column, name, place)
    bad = np.array([text not in _CLASSES for text in texts.distinct])
    if bad.any():
        raise texts.error(
            bad, f"0 or 1 in every row, or be given with a threshold, such as label='{name} > 3'"
        )
    values = np.array([_CLASSES[text] for text in texts.distinct], np.float32)
    return values[texts.codes]


def read_weights(frame: pd.DataFrame, name: str, place: Place) -> np.ndarray:
    """The weights of all rows, float32 [n].

    Raises:
        DataError: no such column; a value that is missing, no number, below 0 or not finite.
    """
    texts = texts_of(column_of(frame, name), name, place)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        numbers = numbers_of(texts).astype(np.float32)
    if (bad := ~(np.isfinite(numbers) & (numbers >= 0))).any():
        raise texts.error(bad, "a weight in every row: a number, 0 or more")
    return numbers[texts.codes]


class Drop:
    """Finds the rows to leave out, table by table.

    Args:
        drop: `{column: value or values}`; a row with one of these there is left out.
    """

    def __init__(self, drop: Mapping[str, Any]) -> None:
        self._drop, self._found = drop, set[str]()
        self._named = {}
        for name, values in drop.items():
            wanted = list(values) if pd.api.types.is_list_like(values) else [values]
            texts = texts_of(pd.Series(wanted, dtype=object), f"drop[{name!r}]").distinct
            self._named[name] = {_number_or_text(text) for text in texts}

    def __call__(self, frame: pd.DataFrame, place: Place) -> np.ndarray:
        """bool [n], which of n rows are left out.

        Raises:
            DataError: no such column.
        """
        out = np.zeros(len(frame), bool)
        for name, named in self._named.items():
            texts = texts_of(column_of(frame, name), name, place)
            left_out = np.array([_number_or_text(text) in named for text in texts.distinct])
            if left_out.any():
                self._found.add(name)
                out |= left_out[texts.codes]
        return out

    def check(self) -> None:
        """Raises DataError where a column had none of its values in any row."""
        for name, values in self._drop.items():
            if name not in self._found:
                raise DataError(
                    f"`drop` must name values of column {name!r}. Received: {values!r}, which no row has"
                )


def _number_or_text(text: bytes) -> float | bytes:
    """3 and 3.0 are one value."""
    try:
        return float(text)
    except ValueError:
        return text
