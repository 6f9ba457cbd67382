"""Random masks: the control that a way of choosing entries has to beat."""

import pathlib
import time
from typing import Any

import keras
import numpy as np

from pep_tf.data import CTRData
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.methods.unpruned import unpruned
from pep_tf.training.progress import Reporter
from pep_tf.training.prune import PruneResult
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.settings import Settings


def random_masks(
    model: keras.Model,
    data: CTRData,
    settings: Settings,
    budgets: Any,
    *,
    folder: str | pathlib.Path | None = None,
    reporter: Reporter | None = None,
    dtype: StoredAs = "float32",
) -> PruneResult:
    """Cuts tickets of the same sizes as any other method would, at random by `settings.seed`.

    Nothing is trained. A smaller ticket keeps a part of what a larger one does.

    Args:
        model: as for `prune`; its thresholds are put where they keep everything.
        data: what tickets are for.
        settings: see `Settings`; only `seed` has an effect.
        budgets, folder, reporter, dtype: see `prune`.

    Raises:
        DataError, RunError, ModelError: as `prune`.

    Reference:
        Frankle, Carbin, "The Lottery Ticket Hypothesis", ICLR 2019: random masks as the control.
    """
    kept = None if folder is None else PruneFolder(folder)
    started = time.perf_counter()
    pruning = unpruned(model, data, budgets, "random", kept, reporter, dtype)
    draw = np.random.default_rng(settings.seed)
    scores = {
        name: draw.random((layer.input_dim, layer.output_dim), np.float32)
        for name, layer in pruning.tables.items()
    }
    pruning.cut(list(pruning.budgets), 0, forced=False, scores=scores)
    return PruneResult(pruning.tickets, [], 0, time.perf_counter() - started)
