"""`from_dataframe`: a table in memory as `CTRData`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from pep_tf.data import checks
from pep_tf.data.backends import NUMPY
from pep_tf.data.columns.categories import text_keys
from pep_tf.data.columns.encoder import Encoder, Seen
from pep_tf.data.columns.kinds import Feature, read_features
from pep_tf.data.columns.labels import dropped, label_column, read_labels, read_weights
from pep_tf.data.columns.multi import joined_lists
from pep_tf.data.columns.splits import is_drawn, split_rows
from pep_tf.data.columns.texts import (
    MISSING,
    Place,
    Texts,
    plain,
    refuse_rounded,
    row_of_frame,
    texts_of,
)
from pep_tf.data.columns.transform import ColumnTransform, column_of
from pep_tf.data.dataset import ArraySplit, CTRData, assignment
from pep_tf.data.hashing import mix
from pep_tf.data.identity import Identity
from pep_tf.data.store.assign import SPLITS
from pep_tf.errors import DataError
from pep_tf.numbers import whole

_TEXTS_AT_ONCE = 1 << 14  # since a block is as wide as its longest text


def from_dataframe(
    frame: pd.DataFrame,
    label: str,
    features: Mapping[str, str],
    *,
    split: Any = "random",
    weight: str | None = None,
    drop: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str = "own-data",
) -> CTRData:
    """A data set of a table's rows, ready to train on and to serve.

    | kind | a value | an id |
    |---|---|---|
    | `vocabulary` | any text or number | one for each value of the training rows; 1 for all others |
    | `hash:N` | any text or number | 1 to N - 1, by a hash |
    | `integer` | a whole number v | as `vocabulary`, of int(ln(v)^2) above 2, else v - 2 (Criteo) |
    | `bins:N` | a finite number | that of one of N bins with equally many training rows |
    | `float` | a finite number | 0 alone; the number counts, standardised: see `Float` |
    | `multi:SEP` | values with SEP between them, or a list | each as of a `vocabulary`; see `Field` |
    | `hour`, `weekday` | a date and time, or seconds since 1970 | 1 to 24, 1 to 7 |

    A missing value, of any kind, is id 0. The exported model takes the same columns by name, each as
    texts (`data.transform.texts(rows)` gives them), and maps them to the same ids.

    Args:
        frame: a row a sample; columns that nothing reads are left alone.
        label: a column of 0 and 1, or a column and a threshold, such as `"rating > 3"`.
        features: `{field: kind}`, in the order of the fields. The field's column is the one of its
            name; `"hour:time"` reads the column `time`.
        split: see `split_rows`.
        weight: a column of how much each row counts in loss and metrics, 0 or more: a row of weight 2
            as the row twice. None: all alike.
        drop: `{column: value or values}`: rows to leave out, such as `{"rating": 3}`.
        seed: of a split that is drawn.
        name: of the data set, in results.

    Raises:
        DataError: what cannot be trained on, scored or served, with its column and row.

    Example:
        >>> rows = pd.DataFrame({"user": list("abcd") * 10, "clicked": [0, 1, 1, 0, 1] * 8})
        >>> from_dataframe(rows, "clicked", {"user": "vocabulary"}).schema.size_by_name
        {'user': 6}
    """
    options: dict[str, Any] = {"split": split, "weight": weight, "drop": drop, "seed": seed}
    return build(frame, label, features, **options, name=name, place=row_of_frame)


def build(
    frame: pd.DataFrame,
    label: str,
    features: Mapping[str, str],
    *,
    split: Any,
    weight: str | None,
    drop: Mapping[str, Any] | None,
    seed: int,
    name: str,
    place: Place,
    source: str = "the table",
) -> CTRData:
    """As `from_dataframe`; `place` tells where a row is, `source` what the table is, for messages."""
    fields, seed = read_features(features), whole("seed", seed, least=0)
    for option, value in (("label", label), ("weight", weight)):
        if not isinstance(value, str) and (value is not None or option == "label"):
            raise DataError(
                f"`{option}` must be the name of a column. Received: {type(value).__name__}"
            )
    _check_table(frame, label, fields)
    rows_read = len(frame)
    numbers = np.flatnonzero(~dropped(frame, drop, place))  # rows keep the numbers they had
    frame = frame.iloc[numbers]
    if not len(frame):
        raise DataError(f"{source} must have rows. Received: none, of {rows_read} before `drop`")

    def at(row: int) -> str:
        return place(int(numbers[row]))

    labels = read_labels(frame, label, at)
    weights = None if weight is None else read_weights(frame, weight, at)
    columns = {field.column: _read(frame, field.column, fields, at) for field in fields}
    rows = split_rows(frame, split, seed, at)
    _check_classes(labels, rows, split, weights)
    encoders, ids = _encode(fields, columns, rows[0])
    transform = ColumnTransform(encoders, {field.name: field.column for field in fields})
    content = _content(columns.values())
    train, validation, test = (
        ArraySplit(
            *(ids[own], labels[own], numbers[own], content[own]),
            weights=None if weights is None else weights[own],
            is_float=transform.schema.is_float,
        )
        for own in rows
    )
    declared = {field.name: field.declared for field in fields}
    drawn = {"split seed": seed} if is_drawn(split) else {}
    by = {"split": split if isinstance(split, str) else "given", **drawn}
    return CTRData(
        name,
        transform.schema,
        train,
        validation,
        test,
        details={
            "source": source,
            "fields": declared,
            "label": label,
            **({} if weight is None else {"weight": weight}),
            "rows_read": rows_read,
            "rows_dropped": rows_read - len(frame),
            "rows": len(frame),
            "positive_rate": float(labels.mean(dtype=np.float64)),
            **by,
        },
        transform=transform,
        examples={column: texts.of_rows(np.arange(2)) for column, texts in columns.items()},
        known=Identity(
            mapping={"kinds": declared},
            split={**by, "assignment": assignment((train, validation, test))},
            source=source,
        ),
    )


def _content(columns: Iterable[Texts]) -> np.ndarray:
    """int32 [n, 2], a 64-bit hash of the texts of each row, whatever becomes of them."""
    hashes: Any = np.uint64(0)
    for texts in columns:
        keys = _in_blocks(lambda t: text_keys(plain(t)), texts)
        hashes = mix(NUMPY, hashes ^ keys[texts.codes])
    return hashes[:, None].view(np.int32)


def _check_table(frame: pd.DataFrame, label: str, fields: Sequence[Feature]) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"`frame` must be a pandas DataFrame. Received: {type(frame).__name__}; "
            "pd.DataFrame({column: values}) makes one"
        )
    own = label_column(label, list(frame.columns))
    for name in (own, *(field.column for field in fields)):
        column_of(frame, name)
    if own in {field.column for field in fields}:
        raise DataError(f"`features` must not have the label's column {own!r} among them.")


def _read(frame: pd.DataFrame, name: str, fields: Sequence[Feature], place: Place) -> Texts:
    """The texts of a column, each of which the kinds of all its fields can read."""
    separator = next((f.separator for f in fields if f.column == name), None)
    column = joined_lists(frame[name], name, separator, place)
    kinds = [field.encoder for field in fields if field.column == name]
    if any(kind.whole_numbers for kind in kinds):
        refuse_rounded(column, name, place)
    texts = texts_of(column, name, place)
    for kind in kinds:
        if (bad := _in_blocks(kind.refused, texts)).any():
            raise texts.error(bad, kind.must_be)
    return texts


def _encode(
    fields: Sequence[Feature], columns: Mapping[str, Texts], train: np.ndarray
) -> tuple[dict[str, Encoder], np.ndarray]:
    """An encoder for each field, fitted to the training rows, and the ids int32 [n, C] of all rows."""
    encoders, ids = {}, []
    for place, field in enumerate(fields):
        texts = columns[field.column]
        counts = np.bincount(texts.codes[train], minlength=len(texts.distinct))
        occur = [i for i in np.flatnonzero(counts) if texts.distinct[i] != MISSING]
        own = [texts.distinct[i] for i in occur]
        seen = Seen(field.name, place, own, counts[occur], texts.distinct)
        _refuse_constant(texts.codes[train], field.name)
        with tf.device("CPU"):
            encoders[field.name] = field.encoder.fit(seen, field.argument)
        found = _in_blocks(encoders[field.name], texts)
        ids.append(found.reshape(len(found), -1)[texts.codes])
        _refuse_constant(ids[-1][train], field.name)
    return encoders, np.concatenate(ids, axis=1)


def _refuse_constant(values: np.ndarray, field: str) -> None:
    """Refuses a field from which nothing can be learned: `values`, one a training row, are all equal."""
    if (values == values[0]).all():
        raise DataError(
            f"`{field}` must have two values or more in the training rows. Received: the same "
            f"in all {len(values)} of them; leave it out"
        )


def _in_blocks(function: Callable[[tf.Tensor], tf.Tensor], texts: Texts) -> np.ndarray:
    """What a function makes of the distinct texts."""
    starts = range(0, len(texts.distinct), _TEXTS_AT_ONCE)
    with tf.device("CPU"):
        parts = [
            function(tf.constant(texts.distinct[start : start + _TEXTS_AT_ONCE], tf.string)).numpy()
            for start in starts
        ]
    return np.concatenate(parts)


def _check_classes(
    labels: np.ndarray, rows: Sequence[np.ndarray], split: Any, weights: np.ndarray | None
) -> None:
    """Refuses a split in which one label does not occur, in the words of the declaration."""
    for name, own in zip(SPLITS, rows, strict=True):
        own = own if weights is None else own[weights[own] > 0]
        try:
            checks.check_classes(name, len(own), checks.classes_of([labels[own]]))
        except DataError as error:
            raise DataError(f"{error}; choose another `split` than {split!r}") from None
