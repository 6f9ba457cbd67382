"""Synthetic click logs of Criteo's or Avazu's shape, of any size, with a planted truth.

They judge quality and pruning at full scale without a download. What is known of them that is never
known of real rows: the best AUC that any model could reach, and which features deserve an
embedding.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.checks import classes_of
from pep_tf.data.dataset import CTRData
from pep_tf.data.identity import Identity
from pep_tf.data.prefetch import prefetch
from pep_tf.data.synthetic.row_source import BLOCK_ROWS, RowSource
from pep_tf.data.synthetic.text import tokens
from pep_tf.data.synthetic.transform import SyntheticTransform
from pep_tf.data.synthetic.truth import Truth
from pep_tf.errors import DataError
from pep_tf.numbers import whole

MAX_HELD_OUT = 500_000
MIN_ROWS = 10
MAX_ROWS = 10**12  # an epoch's order then takes a gigabyte


def synthetic(
    shape: str = "criteo",
    *,
    rows: int = 1_000_000,
    num_features: int = 2_000_000,
    seed: int = 0,
    rank: int = 8,
) -> CTRData:
    """Makes a data set of synthetic rows (the law: `ZipfFields`; what is planted: `Truth`).

    Of `rows` rows, the last tenth is the test split and the tenth before it the validation split,
    but at most 500,000 rows each; the rest is the training split. Rows are independent draws, so
    this is a random split. They are made as they are read: memory does not grow with `rows` (8
    bytes for every 8,192 rows, for the order of an epoch).

    Args:
        shape: "criteo" (39 fields) or "avazu" (22 fields).
        rows: in all three splits together, at least 10.
        num_features: N, ids over all fields; at least 2 per field.
        seed: of the truth and of the rows.
        rank: width of the planted vectors.

    Returns:
        A `CTRData` named "synthetic-criteo" or "synthetic-avazu", whose splits are
        `SyntheticSplit`s. `details["best_auc"]` has the exact AUC of the true probability on the
        rows of the validation and of the test split (None where a split has one class only), and
        `details["best_logloss"]` its mean log loss in nats: no model does better, but for the luck
        of a finite sample. `details["first_order_auc"]` is what a model without interactions could
        reach.

    Raises:
        DataError: an unknown shape, or an argument out of its range.

    Example:
        >>> data = synthetic("avazu", rows=1000, num_features=5000)
        >>> data.name, data.schema.num_fields, data.train.num_rows, data.test.num_rows
        ('synthetic-avazu', 22, 800, 100)
    """
    rows = whole("rows", rows, least=MIN_ROWS, most=MAX_ROWS)  # so that each split has one
    source = RowSource(shape, num_features, seed, rank)
    held_out = min(rows // 10, MAX_HELD_OUT)
    train = SyntheticSplit(source, 0, rows - 2 * held_out)
    validation = SyntheticSplit(source, rows - 2 * held_out, held_out)
    test = SyntheticSplit(source, rows - held_out, held_out)
    best = {"validation": validation.best_scores(), "test": test.best_scores()}
    details = {
        **facts(source, rows, best),
        "useful_features": source.truth.useful_features,
        "useful_entries": source.truth.useful_entries,
    }
    splits = (train, validation, test)
    known = Identity(content=source.get_config(), source=f"the synthetic rows of {shape}")
    transform, examples = _raw(source)
    return CTRData(
        f"synthetic-{shape}", source.schema, *splits, details, transform, examples, known
    )


def exact_scores(labels: np.ndarray, probability: np.ndarray) -> tuple[float | None, float]:
    """Exact AUC (None for one class only) and log loss, in nats, of probabilities [n]."""
    from sklearn.metrics import log_loss, roc_auc_score  # 1 s to import, and rarely needed

    auc = float(roc_auc_score(labels, probability)) if 0 < labels.mean() < 1 else None
    return auc, float(log_loss(labels, probability, labels=[0, 1]))


def facts(
    source: RowSource, rows: int, best: Mapping[str, tuple[float | None, float]]
) -> dict[str, Any]:
    """What is known of rows of a source; `best` has by split the AUC and log loss of the truth."""
    return {
        "synthetic": True,
        "rows": rows,
        **source.get_config(),
        "best_auc": {split: auc for split, (auc, _) in best.items()},
        "best_logloss": {split: loss for split, (_, loss) in best.items()},
        "first_order_auc": source.truth.first_order_auc,
    }


def _raw(
    source: RowSource,
) -> tuple[SyntheticTransform, dict[str, np.ndarray]] | tuple[None, None]:
    """Text to ids and the text of two rows; None where an integer column has ids without text."""
    ids, _, _ = source.block(0)
    try:
        transform = SyntheticTransform(source.shape, source.schema)
    except DataError:
        return None, None
    names = enumerate(source.schema.names)
    return transform, {name: tokens(source.shape, f, ids[f, :2]) for f, name in names}


class SyntheticSplit:
    """Rows `first` to `first + num_rows` of a source, made as they are read.

    Args:
        source: the rows.
        first: index of the first row.
        num_rows: how many, at least 1.
        workers: threads that make blocks; the machine's cores (at most 8) by default. The rows and
            their order do not depend on it.

    Attributes:
        num_rows: rows of the split.
        md5: of the source's configuration (with the generator's version) and the range of rows:
            what the rows are a function of.
    """

    def __init__(
        self, source: RowSource, first: int, num_rows: int, *, workers: int | None = None
    ) -> None:
        num_rows = whole("num_rows", num_rows, least=1, most=MAX_ROWS)
        self.source = source
        self.first = first
        self.num_rows = num_rows
        self.workers = workers or min(os.cpu_count() or 1, 8)
        named = {**source.get_config(), "first": first, "num_rows": num_rows}
        self.md5 = hashlib.md5(json.dumps(named, sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur, in order; makes blocks until both are seen."""
        own = ((self._bounds(block), self.source.block(block)[1]) for block in self._blocks())
        return classes_of(labels[int(low) : int(high)] for (low, high), labels in own)

    @property
    def truth(self) -> Truth:
        return self.source.truth

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """See `Split.batches`. A seed shuffles the blocks of 8,192 rows, and the rows within each.

        Starting late costs no more than starting at 0: the blocks before `start` are not made.

        Raises:
            DataError: `batch_size` below 1, or `start` or `epoch` below 0.
        """
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("start", start, 0),
            ("epoch", epoch, 0),
        ):
            whole(name, value, least=least)
        blocks = self._blocks()
        if seed is not None:
            blocks = np.random.default_rng([seed, epoch]).permutation(blocks)
        low, high = self._bounds(blocks)
        before = np.cumsum(high - low)  # rows up to and with each block
        skipped = int(np.searchsorted(before, start * batch_size, side="right"))
        blocks, sizes = blocks[skipped:], (high - low)[skipped:]
        skip = np.zeros(len(blocks), np.int64)
        if len(blocks):
            skip[0] = start * batch_size - (before[skipped] - sizes[0])

        def make(block: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            ids, labels, order = self._rows(int(block), seed, epoch)
            order = order[int(skip) :]
            return ids.T[order], labels[order]

        def block_rows(block: tf.Tensor, skip: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            types = (tf.int32, tf.float32)
            # Where operations must be deterministic, a stateful one would not run in parallel.
            ids, labels = tf.numpy_function(make, [block, skip], types, stateful=False)
            ids.set_shape([None, self.source.schema.num_fields])
            labels.set_shape([None])
            return ids, labels

        rows = tf.data.Dataset.from_tensor_slices((blocks, skip)).map(
            block_rows, num_parallel_calls=self.workers, deterministic=True
        )
        return prefetch(rows.rebatch(batch_size), 4)

    def best_scores(self) -> tuple[float | None, float]:
        """See `exact_scores`, of the true probability."""
        labels, truth = [], []
        for block in self._blocks():
            low, high = (int(b) for b in self._bounds(block))
            _, label, probability = self.source.block(block)
            labels.append(label[low:high])
            truth.append(probability[low:high])
        return exact_scores(np.concatenate(labels), np.concatenate(truth))

    def _blocks(self) -> np.ndarray:
        """Blocks of the source that hold rows of this split, in order, int64."""
        last = (self.first + self.num_rows - 1) // BLOCK_ROWS
        return np.arange(self.first // BLOCK_ROWS, last + 1, dtype=np.int64)

    def _bounds(self, block: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """First row within each block that belongs to this split, and the one after the last."""
        low = np.clip(self.first - np.asarray(block) * BLOCK_ROWS, 0, BLOCK_ROWS)
        high = np.clip(self.first + self.num_rows - np.asarray(block) * BLOCK_ROWS, 0, BLOCK_ROWS)
        return low, high

    def _rows(
        self, block: int, seed: int | None, epoch: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A block, and the places in it of this split's rows, in the order they are to be read."""
        ids, labels, _ = self.source.block(block)
        low, high = self._bounds(block)
        order = np.arange(int(low), int(high))
        if seed is not None:
            order = np.random.default_rng([seed, epoch, block]).permutation(order)
        return ids, labels, order
