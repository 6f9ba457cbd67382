"""How often each feature occurs in the training rows, kept with a run, for sizes by frequency."""

import os
import pathlib

import numpy as np

from pep_tf.data import FeatureSchema
from pep_tf.errors import RunError
from pep_tf.paths import resolve
from pep_tf.training.state import load_state, save_state


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
