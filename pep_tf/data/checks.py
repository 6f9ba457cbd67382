"""What rows must be before anything trains on them: whole ids inside their field, labels 0 and 1."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import DataError

MAX_ID = 2**31 - 1  # ids are int32
_ROWS_AT_ONCE = 1 << 20  # so that a check takes little memory beside the rows


def whole_ids(ids: Any, first_row: int = 0, is_float: np.ndarray | None = None) -> np.ndarray:
    """Ids as int32 [n, F], none of them cut or wrapped.

    Args:
        ids: numbers [n, F].
        first_row: number of the first row, for messages.
        is_float: bool [F], which columns have the bits of numbers; None: none has.

    Raises:
        DataError: another shape or type; an id that is not a whole number from 0 to 2^31 - 1.
    """
    ids = array("`ids`", ids)
    if ids.ndim != 2 or ids.dtype.kind not in "biuf":
        raise DataError(
            "`ids` must be whole numbers, one row a sample and one column a field. "
            f"Received: shape={ids.shape}, dtype={ids.dtype}"
        )
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        block = ids[start : start + _ROWS_AT_ONCE]
        fine = (block >= 0) & (block <= MAX_ID)  # false for nan
        if block.dtype.kind == "f":
            fine &= block == np.floor(block)
        if is_float is not None and is_float.shape == block.shape[1:] and block.dtype == np.int32:
            fine |= is_float
        if not fine.all():
            row, column = np.argwhere(~fine)[0]
            raise DataError(
                f"`ids` must be whole numbers from 0 to {MAX_ID}. Received: {block[row, column]} in "
                f"row {first_row + start + row}, column {column}"
            )
    return np.ascontiguousarray(ids, np.int32)


def binary_labels(labels: Any, num_rows: int, first_row: int = 0, of: str = "ids") -> np.ndarray:
    """Labels as float32 [n], each 0 or 1.

    Args:
        labels: numbers or booleans [n].
        num_rows: n, the rows of what they belong to.
        first_row, of: number of the first row and name of what they belong to, for messages.

    Raises:
        DataError: another shape, type or length; a label that is neither 0 nor 1.
    """
    labels = array("`labels`", labels)
    if labels.ndim != 1 or labels.dtype.kind not in "biuf":
        raise DataError(
            "`labels` must be one number per row, 0 or 1. "
            f"Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    _same_length(of, num_rows, "labels", labels)
    fine = (labels == 0) | (labels == 1)
    if not fine.all():
        row = int(np.argmin(fine))
        raise DataError(
            f"`labels` must be 0 or 1. Received: {labels[row]} in row {first_row + row}"
        )
    return np.ascontiguousarray(labels, np.float32)


def row_weights(weights: Any, num_rows: int) -> np.ndarray:
    """Weights as float32 [n], each finite and 0 or more.

    Raises:
        DataError: another shape, type or length; a weight below 0 or not finite.
    """
    weights = array("`weights`", weights)
    if weights.ndim != 1 or weights.dtype.kind not in "biuf":
        raise DataError(
            "`weights` must be one number per row. "
            f"Received: shape={weights.shape}, dtype={weights.dtype}"
        )
    _same_length("ids", num_rows, "weights", weights)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        found = np.ascontiguousarray(weights, np.float32)
    if not (fine := (found >= 0) & np.isfinite(found)).all():
        row = int(np.argmin(fine))
        raise DataError(
            f"`weights` must be finite, 0 or more. Received: {weights[row]} in row {row}"
        )
    return found


def row_numbers(rows: Any, num_rows: int) -> np.ndarray:
    """Row numbers as little-endian int64 [n].

    Raises:
        DataError: another shape, type or length.
    """
    rows = array("`rows`", rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(
            f"`rows` must be one integer a row. Received: shape={rows.shape}, dtype={rows.dtype}"
        )
    _same_length("ids", num_rows, "rows", rows)
    return np.ascontiguousarray(rows, "<i8")


def check_fields(split: str, ids: np.ndarray, schema: FeatureSchema, first_row: int = 0) -> None:
    """Raises DataError unless `ids`, int32 [n, C], have the columns of `schema`, each id inside its field.

    Numbers must be finite. One that is nearer to 0 than a float32 can well be is a whole number by mistake.
    """
    fields = schema.column_fields
    if ids.shape[1] != len(fields):
        told = f", {len(fields)} columns with those of its bags" * (len(fields) > schema.num_fields)
        raise DataError(
            f"`{split}` must have a column for each of the {schema.num_fields} fields of `schema`{told}. "
            f"Received: {ids.shape[1]} columns"
        )
    outside = ids.max(axis=0, initial=0) >= np.array(schema.sizes)[fields]
    for column in np.flatnonzero(outside & ~schema.is_float):
        field, own = schema.fields[fields[column]], ids[:, column]
        row = int(np.argmax(own >= field.size))
        raise DataError(
            f"`{split}` must hold ids from 0 to {field.size - 1} in field {field.name!r} (column "
            f"{column}). Received: {own[row]} in row {first_row + row}"
        )
    for column in np.flatnonzero(schema.is_float):
        values = np.ascontiguousarray(ids[:, column]).view(np.float32)
        size = np.abs(values)
        fine = (size == 0) | (size >= np.finfo(np.float32).tiny) & (size < np.inf)
        if not fine.all():
            row = int(np.argmin(fine))
            raise DataError(
                f"`{split}` must hold the bits of finite float32 in field "
                f"{schema.fields[fields[column]].name!r} (column {column}). Received: "
                f"{ids[row, column]}, the bits of {values[row]}, in row {first_row + row}"
            )


def check_classes(split: str, num_rows: int, classes: tuple[int, ...]) -> None:
    """Raises DataError unless both labels occur: nothing can be learned or scored otherwise."""
    if len(classes) < 2:
        raise DataError(
            f"`{split}` must hold rows of both classes, labels 0 and 1. "
            f"Received: {num_rows} rows, all labelled {', '.join(map(str, classes)) or 'nothing'}"
        )


def counted_classes(num_rows: int, clicks: int) -> tuple[int, ...]:
    """The labels that occur in `num_rows` rows, `clicks` of them labelled 1, in order."""
    return tuple(label for label, rows in ((0, num_rows - clicks), (1, clicks)) if rows > 0)


def classes_of(labels: Iterable[np.ndarray]) -> tuple[int, ...]:
    """The labels that occur, in order; reads on only until both have."""
    found: set[int] = set()
    for block in labels:
        found |= {int(label) for label in np.unique(block)}
        if len(found) == 2:
            break
    return tuple(sorted(found))


def read_classes(
    split: str, batches: Iterable[tuple[Any, ...]], schema: FeatureSchema
) -> tuple[int, ...]:
    """Reads all rows of a split of which nothing is known; the labels that occur, in order.

    Raises:
        DataError: ids or labels that cannot be trained on; see the functions above.
    """
    found: set[int] = set()
    row = 0
    for ids, labels, *weights in batches:
        try:
            ids = whole_ids(ids, row, schema.is_float)
            labels = binary_labels(labels, len(ids), row)
            labels = labels[row_weights(weights[0], len(ids)) > 0] if weights else labels
        except DataError as error:
            raise DataError(f"`{split}`: {error}") from error
        check_fields(split, ids, schema, row)
        found |= {int(label) for label in np.unique(labels)}
        row += len(ids)
    return tuple(sorted(found))


def array(name: str, values: Any) -> np.ndarray:
    """What is an array of numbers.

    Raises:
        DataError: lists of different lengths, or a masked array, whose mask would be lost.
    """
    try:
        if not np.ma.is_masked(values):
            return np.asarray(values)
        error = "some are masked"
    except ValueError as caught:  # lists of different lengths
        error = str(caught)
    raise DataError(f"{name} must be an array of numbers: {error}")


def _same_length(of: str, num_rows: int, name: str, values: np.ndarray) -> None:
    if len(values) != num_rows:
        raise DataError(
            f"`{of}` and `{name}` must have the same number of rows. "
            f"Received: {num_rows} and {len(values)}"
        )
