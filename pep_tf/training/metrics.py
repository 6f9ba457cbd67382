"""AUC and logloss over a whole split: exact, not by buckets."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from pep_tf import distributed
from pep_tf.data import Split
from pep_tf.data.checks import binary_labels
from pep_tf.distributed import Group
from pep_tf.distributed.share import Share
from pep_tf.errors import DataError, DivergedError


@dataclasses.dataclass(frozen=True)
class Metrics:
    """`auc`: area under the ROC curve, ties counted half. `logloss`: mean cross-entropy in nats."""

    auc: float
    logloss: float


def metrics_of(
    labels: np.ndarray, logits: np.ndarray, weights: np.ndarray | None = None
) -> Metrics:
    """Exact metrics of logits.

    Args:
        labels: [n], 0 or 1; both must occur.
        logits: [n], finite.
        weights: [n], how much each row counts; None: all alike.

    Raises:
        DataError: labels other than 0 and 1, or of one class only, for which no AUC exists; arrays of
            different lengths.
        DivergedError: logits that are not finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim != 1:
        raise DataError(f"`logits` must be one number per row. Received: shape={logits.shape}")
    labels = binary_labels(labels, len(logits), of="logits").astype(np.float64)
    if not (finite := np.isfinite(logits)).all():
        row = int(np.argmin(finite))
        raise DivergedError(
            f"Logits must be finite. Received: {logits[row]} in row {row}, and in all "
            f"{len(logits) - finite.sum():,} of {len(logits):,} that are not: the model has diverged. "
            "Lower the learning rate, or look for outliers in the data."
        )
    if labels.min(initial=1) >= labels.max(initial=0):
        raise DataError(
            f"AUC needs rows of both classes. Received: {len(labels)} rows, all labelled "
            f"{labels[0] if len(labels) else 'nothing'}. Use more data."
        )
    weights = None if weights is None else weights.astype(np.float64)  # sums of float32 drift
    logloss = np.average(np.logaddexp(0.0, logits) - labels * logits, weights=weights)
    return Metrics(_auc(labels, logits, weights), float(logloss))


def _auc(labels: np.ndarray, logits: np.ndarray, weights: np.ndarray | None) -> float:
    """The chance that a drawn row labelled 1 has a higher logit than one labelled 0, ties counted half."""
    _, places = np.unique(logits, return_inverse=True)
    weights = np.ones(len(labels)) if weights is None else weights
    ones = np.bincount(places, weights * labels)
    zeros = np.bincount(places, weights * (1 - labels))
    below = np.cumsum(zeros) - zeros / 2
    return float(np.dot(ones, below) / (ones.sum() * zeros.sum()))


class Evaluator:
    """Runs a model over splits in inference mode.

    Args:
        model: maps ids [B, F] to logits [B, 1].
        batch_size: rows a call; has no influence on the result.
    """

    def __init__(self, model: keras.Model, batch_size: int = 8192) -> None:
        self._batch_size, self._group = batch_size, distributed.current()
        self._model = model
        self._logits = tf.function(self._own_logits, reduce_retracing=True, autograph=False)

    def _own_logits(self, ids: tf.Tensor) -> tf.Tensor:
        """Logits of a batch, or of this worker's share of it."""
        if self._group is not None:
            ids = Share.of(self._group, tf.shape(ids)[0]).cut(ids)
        return self._model(ids, training=False)[:, 0]

    def __call__(self, split: Split) -> Metrics:
        """Metrics over every row of the split."""
        logits, known = [], []
        for ids, *labels_and_weights in split.batches(self._batch_size):
            logits.append(self._logits(ids).numpy())
            known.append([part.numpy() for part in labels_and_weights])
        labels, *weights = (np.concatenate(part) for part in zip(*known, strict=True))
        if self._group is not None:
            logits = _of_all(self._group, logits, [len(part) for part, *_ in known])
        return metrics_of(labels, np.concatenate(logits), *weights)


def _of_all(group: Group, own: list[np.ndarray], rows: list[int]) -> list[np.ndarray]:
    """The logits of all workers in the order of the rows: each batch's shares one after the other."""
    parts = group.gather_arrays(np.concatenate(own))
    found, starts = [], [0] * group.size
    for count in rows:
        for rank, part in enumerate(parts):
            size = count * (rank + 1) // group.size - count * rank // group.size
            found.append(part[starts[rank] : starts[rank] + size])
            starts[rank] += size
    return found
