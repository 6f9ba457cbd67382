"""How often each feature occurs in the training rows: kept with a run, for sizes by frequency."""

import os
import pathlib

import numpy as np

from pep_tf.data import CTRData, FeatureSchema
from pep_tf.errors import RunError
from pep_tf.paths import resolve
from pep_tf.training.state import load_state, save_state

_ROWS_AT_ONCE = 1 << 16


def count_features(data: CTRData) -> np.ndarray:
    """Occurrences of each table row in the training split, int64 [N]; reads the split once."""
    schema = data.schema
    counts = np.zeros(schema.num_features, np.int64)
    offsets = schema.offsets[schema.column_fields]
    # An id 0 of a bag stands where it has no value.
    is_id = np.array([field.combiner is None for field in schema.fields])[schema.column_fields]
    for batch, *_ in data.train.batches(_ROWS_AT_ONCE):
        ids = batch.numpy()
        counted = (ids != 0) | is_id  # a number that is 0 adds nothing either
        np.add.at(counts, (np.where(schema.is_float, 0, ids) + offsets)[counted], 1)
    return counts


def save_feature_counts(path: pathlib.Path, schema: FeatureSchema, counts: np.ndarray) -> None:
    """Writes counts and schema; raises RunError if it cannot."""
    save_state(path, {"counts": counts}, {"fields": schema.get_config()})


def load_feature_counts(path: str | os.PathLike[str]) -> tuple[FeatureSchema, np.ndarray]:
    """Reads what `save_feature_counts` wrote.

    Raises:
        RunError: a file that is missing or damaged, or whose parts contradict each other.
    """
    path = resolve(path)
    arrays, facts = load_state(path, "a count of features")
    try:
        schema, counts = FeatureSchema.from_config(facts["fields"]), arrays["counts"]
        if counts.shape != (schema.num_features,) or counts.dtype != np.int64:
            raise ValueError(f"{counts.dtype} {counts.shape} for {schema.num_features} features")
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return schema, counts
