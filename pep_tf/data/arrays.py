"""`from_arrays`: features and labels as arrays, or as a `tf.data.Dataset` of these, as `CTRData`."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data import checks
from pep_tf.data.dataset import ArraySplit, CTRData, require_data
from pep_tf.data.schema import FLOAT, FeatureSchema, Field
from pep_tf.data.split import random_split
from pep_tf.data.store.assign import SPLITS
from pep_tf.errors import DataError

_ROWS_AT_ONCE = 8192


def from_arrays(
    data: Any, fields: Mapping[str, Any], *, seed: int = 0, name: str = "own-arrays"
) -> CTRData:
    """A data set of features and labels that are at hand; it is held in memory.

    Args:
        data: `(features, labels)` or `(features, labels, weights)`, arrays of n rows or a finite
            `tf.data.Dataset` of them, in batches or row by row, which is split 80/10/10 at random; or
            `{"train": ..., "validation": ..., "test": ...}` of these. Features are ids [n, C], in the
            order of the columns, or `{field: ids [n]}`, such as a DataFrame; of a bag [n, values at
            most], 0 where there is no more, or ragged; of a number the number itself, standardised, 0
            where it is missing.
        fields: `{field: vocabulary size}`, as a model's `fields`; see `FeatureSchema.of`.
        seed: of the split.
        name: of the data set, in results.

    Raises:
        DataError: at the first batch that cannot be trained on or scored.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> features = {"user": rng.integers(0, 5, 100), "price": rng.normal(size=100)}
        >>> labels = rng.integers(0, 2, 100)
        >>> from_arrays((features, labels), {"user": 5, "price": "float"}).train.num_rows
        80
    """
    schema = FeatureSchema.of(fields)
    if isinstance(data, Mapping):
        if set(data) != set(SPLITS):
            raise DataError(
                f"`data` must have the splits {', '.join(SPLITS)}. Received: {', '.join(map(str, data))}"
            )
        read = [_rows_of(data[split], schema, split) for split in SPLITS]
        starts = np.cumsum([0, *(len(rows[0]) for rows in read)])
        numbers = [
            np.arange(len(rows[0])) + start for rows, start in zip(read, starts, strict=False)
        ]
    else:
        rows = _rows_of(data, schema, "data")
        if isinstance(data, tf.data.Dataset):
            _refuse_shuffled(data)
        numbers = list(random_split(len(rows[0]), seed))
        read = [tuple(part[own] for part in rows) for own in numbers]
    train, validation, test = (
        ArraySplit(
            *(ids, labels, own), weights=weights[0] if weights else None, is_float=schema.is_float
        )
        for (ids, labels, *weights), own in zip(read, numbers, strict=True)
    )
    return CTRData(name, schema, train, validation, test)


def as_data(data: Any, fields: Any, seed: int) -> CTRData:
    """`data` itself, or of arrays or a `tf.data.Dataset` what `from_arrays` makes for a model's fields."""
    plain = isinstance(data, tuple | list | Mapping | tf.data.Dataset)
    if plain and isinstance(fields, Mapping):
        return from_arrays(data, fields, seed=seed)
    require_data(data)
    return data


def _rows_of(data: Any, schema: FeatureSchema, what: str) -> tuple[np.ndarray, ...]:
    """(ids, labels) or (ids, labels, weights) of all rows, each batch checked when it comes."""
    blocks: list[list[np.ndarray]] = []
    row = 0
    for batch in _batches(data, what):
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise DataError(
                f"`{what}` must be (features, labels) or (features, labels, weights). Received: "
                f"{type(batch).__name__}"
                + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
            )
        features, labels, *weights = batch
        try:
            features = _by_name(features)
            parts = features.values() if isinstance(features, Mapping) else (features,)
            _refuse_other_index((*parts, labels, *weights))
            ids = _packed(features, schema, row)
            block = [ids, checks.binary_labels(_numpy(labels), len(ids), row)]
            block += [checks.row_weights(_numpy(part), len(ids)) for part in weights]
        except DataError as error:
            raise DataError(f"`{what}`: {error}") from error
        checks.check_fields(what, ids, schema, row)
        blocks.append(block)
        row += len(ids)
    if not row:
        raise DataError(f"`{what}` must hold at least one row. Received: 0")
    if len({len(block) for block in blocks}) > 1:
        raise DataError(f"`{what}` must have weights in each batch, or in none.")
    columns = zip(*blocks, strict=True)
    return tuple(part[0] if len(part) == 1 else np.concatenate(part) for part in columns)


def _batches(data: Any, what: str) -> Iterable[Any]:
    if not isinstance(data, tf.data.Dataset):
        return [data]
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"`{what}` must end: leave `repeat()` out. Received: an infinite Dataset")
    spec = data.element_spec
    labels = spec[1] if isinstance(spec, tuple) and len(spec) > 1 else None
    row_by_row = isinstance(labels, tf.TensorSpec) and labels.shape.rank == 0
    return data.batch(_ROWS_AT_ONCE) if row_by_row else data


def _refuse_shuffled(data: tf.data.Dataset) -> None:
    first, again = (tf.nest.flatten(next(iter(data)), expand_composites=True) for _ in range(2))
    same = (np.array_equal(_numpy(a), _numpy(b)) for a, b in zip(first, again, strict=True))
    if not all(same):
        raise DataError(
            "`data` must give its rows in one order, or its split would change: leave `shuffle` out, "
            "training does it. Received: a Dataset that begins with other rows each time"
        )


def _by_name(features: Any) -> Any:
    """`{column: values}` of a DataFrame whose columns have names; anything else as it is."""
    names = list(getattr(features, "columns", ()))
    return {name: features[name] for name in names} if names != [*range(len(names))] else features


def _refuse_other_index(parts: Iterable[Any]) -> None:
    """Refuses pandas objects whose rows are not the same by their index: arrays go by position."""
    found = [part.index for part in parts if hasattr(getattr(part, "index", None), "equals")]
    if not all(found[0].equals(index) for index in found):
        raise DataError(
            "Features, labels and weights must have one index where they have one: reindex them, or "
            "give `.to_numpy()` of what is in the same order."
        )


def _packed(features: Any, schema: FeatureSchema, first_row: int) -> np.ndarray:
    """Ids int32 [n, C], bits of numbers among them, as models take them."""
    if not isinstance(features, Mapping):
        ids = _numpy(features)
        if ids.dtype.kind != "f" or not schema.is_float.any() or ids.ndim != 2:
            return checks.whole_ids(ids, first_row, schema.is_float)
        if ids.shape[1] != len(schema.is_float):
            checks.check_fields("features", np.zeros(ids.shape, np.int32), schema)
        ends = np.cumsum([field.width for field in schema.fields])[:-1]
        features = dict(zip(schema.names, np.split(ids, ends, axis=1), strict=True))
    if set(features) != set(schema.names):
        raise DataError(
            f"`features` must have the fields {', '.join(schema.names)}. Received: "
            f"{', '.join(map(str, features)) or 'none'}"
        )
    columns = [_column(features[field.name], field, first_row) for field in schema.fields]
    if len({len(column) for column in columns}) > 1:
        told = ", ".join(f"{n} {len(c)}" for n, c in zip(schema.names, columns, strict=True))
        raise DataError(f"`features` must have equally many rows. Received: {told}")
    return np.concatenate(columns, axis=1)


def _column(values: Any, field: Field, first_row: int) -> np.ndarray:
    """Ids or bits int32 [n, width] of a field."""
    values = _numpy(values)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.dtype.kind not in "biuf" or values.shape[1] > field.width:
        raise DataError(
            f"`{field.name}` must be numbers [n] or [n, {field.width}]. Received: "
            f"shape={values.shape}, dtype={values.dtype}"
        )
    if field.combiner == FLOAT:
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
            numbers = np.ascontiguousarray(values, np.float32)
        if not (fine := np.isfinite(numbers[:, 0])).all():
            row = int(np.argmin(fine))
            raise DataError(
                f"`{field.name}` must be finite, 0 where it is missing. Received: {values[row, 0]} in "
                f"row {first_row + row}"
            )
        tiny = np.abs(numbers) < np.finfo(np.float32).tiny
        return np.where(tiny, np.float32(0), numbers).view(np.int32)
    try:
        ids = checks.whole_ids(values, first_row)
    except DataError as error:
        raise DataError(f"`{field.name}`: {error}") from error
    return np.pad(ids, [(0, 0), (0, field.width - ids.shape[1])])


def _numpy(values: Any) -> np.ndarray:
    values = values.to_tensor() if isinstance(values, tf.RaggedTensor) else values
    return checks.array("Features and labels", values)
