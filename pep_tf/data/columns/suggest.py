"""Kinds that the columns of a table may have, for who has not named any."""

import datetime
import numbers
from typing import Any

from pep_tf.data.columns.labels import label_column
from pep_tf.data.columns.table_files import Files, TableFiles

_ROWS = 1_000
_SEPARATORS = "|;"
# What may be a number or a moment, by the longest value of either.
_LONGEST = 40


def suggest_features(files: Files, label: str, weight: str | None = None) -> str:
    """Features as a person may begin with, such as `user=vocabulary,price=bins:32`.

    By the first 1,000 rows: numbers with a fraction become bins, moments their hour, texts with `|` or
    `;` between their values bags, all else a vocabulary. Columns that are empty there are left out.

    Args:
        files: see `from_files`.
        label, weight: see `from_files`; their columns are no features.

    Raises:
        DataError: see `TableFiles`.
    """
    table = TableFiles(files)
    other = (label_column(label, table.names), weight)
    columns = [name for name in table.names if name not in other]
    batch, _ = next(table.batches(columns))
    rows = batch.slice(0, _ROWS).to_pydict()
    known = {name: [_plain(v) for v in rows[name] if v not in (None, b"", "")] for name in columns}
    return ",".join(_feature(name, values) for name, values in known.items() if values)


def _feature(name: str, values: list[Any]) -> str:
    if all(isinstance(value, list) for value in values):
        return f"{name}=multi:|"
    if all(_is_number(value) for value in values):
        return f"{name}=bins:32" if any(float(v) % 1 for v in values) else f"{name}=vocabulary"
    if all(_is_moment(value) for value in values):
        return f"{name}_hour=hour:{name}"
    for separator in _SEPARATORS:
        if any(separator in str(value) for value in values):
            return f"{name}=multi:{separator}"
    return f"{name}=vocabulary"


def _plain(value: Any) -> Any:
    """A value of a file; texts of CSV come as bytes."""
    return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else value


def _is_number(value: Any) -> bool:
    if isinstance(value, numbers.Real):
        return True
    try:
        return len(value) <= _LONGEST and float(value) == float(value)
    except (TypeError, ValueError):
        return False


def _is_moment(value: Any) -> bool:
    if isinstance(value, datetime.datetime | datetime.date):
        return True
    try:
        return (
            isinstance(value, str)
            and len(value) <= _LONGEST
            and bool(datetime.datetime.fromisoformat(value))
        )
    except ValueError:
        return False
