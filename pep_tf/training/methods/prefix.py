"""Row prefixes: the table is trained whole and rotated, and each row keeps its first numbers."""

import pathlib
from typing import Any

import keras
import numpy as np

from pep_tf.data import CTRData
from pep_tf.data.feature_counts import count_features
from pep_tf.errors import RunError
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.fit import fit
from pep_tf.training.layer_state import walk
from pep_tf.training.logit_moments import logit_moments
from pep_tf.training.methods.unpruned import unpruned
from pep_tf.training.progress import Reporter
from pep_tf.training.prune import PruneResult
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.pruning import Pruning
from pep_tf.training.settings import Settings
from pep_tf.training.weights import joined

_ROWS = 256  # that tell whether a model answers the same


def prefix(
    model: keras.Model,
    data: CTRData,
    settings: Settings,
    budgets: Any,
    *,
    folder: str | pathlib.Path | None = None,
    reporter: Reporter | None = None,
    dtype: StoredAs = "float32",
) -> PruneResult:
    """Trains the model unpruned, turns its table so that first columns hold most, and cuts rows short.

    A model that takes nothing but inner products of embeddings answers the same whatever orthogonal
    matrix its table is multiplied by. That of the eigenvectors of `logit_moments` puts into the first
    columns what the logit answers to most. A number v of column c counts as `v^2 m_c`, m_c being the
    moment along this column: about twice what the log loss rises without it. A row counts by the square
    root of how often it occurs. How many numbers a row keeps goes by these sums: what is cut has the
    smallest that such a cut can have. First-order weights that are pruned too are ranked by the same
    measure. What is stored needs no mask, but at most half a byte per row (`PrefixTable`). Tickets start
    from the weights before training, turned alike.

    Args:
        model: as for `prune`; its thresholds are put where they keep everything.
        data, settings: see `magnitude`.
        budgets, folder, reporter, dtype: see `prune`.

    Raises:
        RunError: a model that answers otherwise once a table is rotated.
        DataError, ModelError: as `prune`.
    """
    kept = None if folder is None else PruneFolder(folder)
    pruning = unpruned(model, data, budgets, "prefix", kept, reporter, dtype)
    _refuse_others(model, data, pruning)
    checkpoint = None if kept is None else kept.checkpoint
    result = fit(model, data, settings, stage="prefix", checkpoint=checkpoint, reporter=reporter)
    weights = np.sqrt(1.0 + count_features(data))[:, None]
    moments, paths = logit_moments(model, data), {id(layer): path for path, layer in walk(model)}
    scores = {}
    for key, layer in pruning.tables.items():
        moment, name = moments[layer], joined(paths[id(layer)], "table")
        turn = rotation(moment)
        table = layer.effective_table() @ turn
        layer.table.assign(table)
        pruning.initial = {**pruning.initial, name: pruning.initial[name] @ turn}
        scores[key] = falling(weights * np.square(table) * np.diag(turn.T @ moment @ turn))
    pruning.history += result.history
    step = result.best_epoch * -(-data.train.num_rows // settings.batch_size)
    pruning.cut(list(pruning.budgets), step, forced=False, scores=scores)
    return PruneResult(pruning.tickets, pruning.history, result.epochs, result.seconds)


def _refuse_others(model: keras.Model, data: CTRData, pruning: Pruning) -> None:
    """Raises RunError for a model whose answers change as a table of random numbers is rotated."""
    ids = next(iter(data.validation.batches(_ROWS)))[0]
    draw = np.random.default_rng(0)
    for key, layer in pruning.tables.items():
        before = layer.table.numpy()
        numbers = draw.normal(size=before.shape).astype(np.float32) / np.sqrt(before.shape[1])
        answers: list[np.ndarray] = []
        for turn in (np.eye(before.shape[1]), rotation(numbers.T @ numbers)):
            layer.table.assign(numbers @ turn)
            answers.append(model(ids, training=False).numpy())
        layer.table.assign(before)
        if not np.allclose(answers[0], answers[1], rtol=1e-2, atol=1e-2):
            raise RunError(
                "`method` must be another than 'prefix' for a model that takes more of embeddings "
                f"than inner products, which 'fm' does not. Received: {type(model).__name__}, table {key!r}"
            )


def rotation(moment: np.ndarray) -> np.ndarray:
    """Orthogonal float32 [d, d]: the eigenvectors of a symmetric [d, d], of the largest value first."""
    return np.linalg.eigh(moment)[1][:, ::-1].astype(np.float32)


def falling(scores: np.ndarray) -> np.ndarray:
    """The nearest scores [N, d] that do not rise along a row, by squares.

    A row of them is cut to a prefix by any threshold, that with the largest sum of its scores less
    the threshold for each. A score above the one before it is merged with it into their mean.
    """
    rows = np.arange(len(scores))
    sums, counts = np.zeros(scores.shape), np.zeros(scores.shape, np.int64)
    top = np.full(len(scores), -1)
    for column in scores.T:
        top += 1
        sums[rows, top], counts[rows, top] = column, 1
        rising = rows
        while len(rising := rising[top[rising] > 0]):
            last = top[rising]
            above = sums[rising, last] * counts[rising, last - 1]
            below = sums[rising, last - 1] * counts[rising, last]
            rising = rising[above > below]
            last = top[rising]
            sums[rising, last - 1] += sums[rising, last]
            counts[rising, last - 1] += counts[rising, last]
            counts[rising, last] = 0
            top[rising] -= 1
    there = counts > 0
    means = np.repeat(sums[there] / counts[there], counts[there])
    return means.reshape(scores.shape).astype(np.float32)
