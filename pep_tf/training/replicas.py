"""Checks of models that every worker has a copy of."""

import hashlib
from collections.abc import Mapping

import keras
import numpy as np

from pep_tf.distributed import Group
from pep_tf.errors import RunError
from pep_tf.tables.sharded_table import is_sharded
from pep_tf.training.keras_layers import refusal
from pep_tf.training.stored import stored_values


def digest(variables: Mapping[str, keras.Variable]) -> str:
    """sha256 of the values of variables as they are stored, without those that are sharded."""
    found = hashlib.sha256()
    replicated = {name: v for name, v in variables.items() if not is_sharded(v)}
    for value in stored_values(replicated).values():
        found.update(np.ascontiguousarray(value).data)
    return found.hexdigest()


def check_replicas(group: Group, variables: Mapping[str, keras.Variable], stage: str) -> None:
    """Raises RunError if the workers' variables are not the same bits."""
    found = group.gather_objects(digest(variables))
    if other := [rank for rank, own in enumerate(found) if own != found[0]]:
        raise RunError(
            f"The weights of stage {stage!r} differ between worker 0 and {other}: the workers must "
            "run on processors of one kind, and build models by the same seed. Go on from the last "
            "checkpoint."
        )


def refuse_what_cannot_be_shared(model: keras.Model, rows: int, group: Group) -> None:
    """Refuses layers that would silently train differently than on one worker.

    Args:
        model: that is to be trained.
        rows: of a batch.
        group: the workers.

    Raises:
        RunError: names it.
    """
    if rows < group.size:
        raise RunError(
            f"`batch_size` must be at least the number of workers. Received: {rows} rows in a batch, "
            f"{group.size} workers"
        )
    for layer in model._flatten_layers():
        if (told := refusal(layer)) is not None:
            raise RunError(
                f"The layer {layer.name!r} ({type(layer).__name__}) is not for several workers: {told}."
            )
