"""Differentiable search of widths: each field mixes widths, by weights that validation rows train."""

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.data import CTRData, Split
from pep_tf.data.feature_counts import count_features
from pep_tf.layers import PEPEmbedding
from pep_tf.tables.granularity import granularity_of
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.fit import fit
from pep_tf.training.layer_state import walk
from pep_tf.training.methods.unpruned import unpruned
from pep_tf.training.progress import Reporter
from pep_tf.training.prune import PruneResult
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.pruning import Pruning
from pep_tf.training.settings import Settings
from pep_tf.training.step import mean_loss
from pep_tf.training.swap import swap_layers
from pep_tf.training.weights import assign, snapshot

_TURN = 10  # steps on training rows, then as many on validation rows
_MEAN, _SQUARE, _EPSILON = 0.9, 0.999, 1e-7  # of Adam


def darts(
    model: keras.Model,
    data: CTRData,
    settings: Settings,
    budgets: Any,
    *,
    folder: str | pathlib.Path | None = None,
    reporter: Reporter | None = None,
    dtype: StoredAs = "float32",
) -> PruneResult:
    """Trains a mixture of widths for each field, and cuts each field to those that weigh most.

    An embedding is `sum_c softmax(a)_c [v_1 ... v_(w_c), 0 ... 0]` over the widths w = 1, 2, 4, ..., d, with
    weights a of its field (`MixtureOfWidths`). In turns of ten steps, training rows train all but a, and
    validation rows a alone, by Adam at the same rate without L2.

    The paper's field then has the width of the largest weight. Here a column of a field has the sum of
    the weights of the widths that hold it, and the columns of the highest sums are kept, so that any
    budget can be had; of the last ones the rows of the most frequent features. Tickets start from the
    weights before the search.

    Args:
        model: as for `prune`; its thresholds are put where they keep everything.
        data: trains on `data.train`, and the weights of widths on `data.validation`.
        settings: see `magnitude`.
        budgets, folder, reporter, dtype: see `prune`.

    Raises:
        DataError, RunError, ModelError: as `prune`.

    Reference:
        Zhao et al., "Memory-efficient Embedding for Recommendations" (AutoDim), 2020, arXiv 2006.14827, with
        the widths of a row sharing its numbers; and its source, Liu et al., "DARTS", ICLR 2019, of which
        this is the first-order update. Left out: the matrix and the batch normalisation of each width, the
        Gumbel noise, and the second-order term.
    """
    kept = None if folder is None else PruneFolder(folder)
    pruning = unpruned(model, data, budgets, "darts", kept, reporter, dtype)
    mixture, tables = _mixed(model, pruning)
    result = fit(
        mixture,
        data,
        dataclasses.replace(settings, check_every=_TURN),
        stage="darts",
        checkpoint=None if kept is None else kept.checkpoint,
        reporter=reporter,
        between=_Search(mixture, tables, data.validation, settings),
    )
    values = snapshot(mixture)
    assign(model, {name: values[name] for name in snapshot(model, list(pruning.tables.values()))})
    counts = count_features(data)
    scores = {}
    for key, layer in pruning.tables.items():
        layer.table.assign(tables[key].effective_table())
        scores[key] = column_scores(tables[key], counts)
    pruning.history += result.history
    step = result.best_epoch * -(-data.train.num_rows // settings.batch_size)
    pruning.cut(list(pruning.budgets), step, forced=False, scores=scores)
    return PruneResult(pruning.tickets, pruning.history, result.epochs, result.seconds)


@keras.saving.register_keras_serializable(package="pep_tf")
class MixtureOfWidths(PEPEmbedding):
    """A table of which a row is the mixture of its first numbers, so many and so many; see `darts`."""

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        super().build(input_shape)
        widths = np.unique([*(2 ** np.arange(self.output_dim.bit_length())), self.output_dim])
        self.widths = widths[widths <= self.output_dim]
        shape = (len(self.field_sizes or [0]), len(self.widths))
        # Weights of widths and their moments: no optimizer of the model is to change them.
        self.weights_of_widths, self.mean, self.square = (
            self.add_weight(
                name=name, shape=shape, initializer="zeros", trainable=False, autocast=False
            )
            for name in ("widths", "widths_mean", "widths_square")
        )

    def shares(self) -> tf.Tensor:
        """For each column of a field the sum of the weights of widths that hold it, float32 [F, d]."""
        holds = np.arange(self.output_dim) < self.widths[:, None]
        chances = tf.nn.softmax(tf.convert_to_tensor(self.weights_of_widths))
        return tf.matmul(chances, tf.constant(holds, tf.float32))

    def as_stored(self, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        groups = granularity_of("field").groups(rows, self.field_sizes)
        shares = self.shares()
        return values * (shares[0] if groups is None else tf.gather(shares, groups))

    def step(self, gradient: tf.Tensor, rate: float, number: tf.Tensor) -> None:
        """Adam's step of this number, from 1, of the weights of widths."""
        mean = self.mean.assign(_MEAN * self.mean + (1 - _MEAN) * gradient)
        square = self.square.assign(_SQUARE * self.square + (1 - _SQUARE) * gradient**2)
        size = tf.sqrt(square / (1 - _SQUARE**number)) + _EPSILON
        self.weights_of_widths.assign_sub(rate * mean / (1 - _MEAN**number) / size)


def _mixed(model: keras.Model, pruning: Pruning) -> tuple[keras.Model, dict[str, MixtureOfWidths]]:
    """A copy of a model with mixtures of widths in place of its tables, and these by key."""
    made = {
        key: MixtureOfWidths.from_config({**layer.get_config(), "pruning": "none"})
        for key, layer in pruning.tables.items()
    }

    def carry_over(old: PEPEmbedding, new: MixtureOfWidths) -> None:
        new.table.assign(old.table.numpy())

    mixture = swap_layers(model, pruning.tables, made, carry_over)
    paths, found = {id(layer): path for path, layer in walk(model)}, dict(walk(mixture))
    return mixture, {key: found[paths[id(layer)]] for key, layer in pruning.tables.items()}


class _Search:
    """Takes as many steps on validation rows as were taken on training rows."""

    def __init__(
        self,
        model: keras.Model,
        tables: dict[str, MixtureOfWidths],
        split: Split,
        settings: Settings,
    ) -> None:
        self._model, self._tables = model, list(tables.values())
        self._split, self._settings = split, settings
        self._batches: Any = None
        self._step = tf.function(self._one_step, reduce_retracing=True, autograph=False)

    def __call__(self, before: int, after: int) -> None:
        size = self._settings.batch_size
        of_epoch = -(-self._split.num_rows // size)
        for number in range(before, after):
            epoch, start = divmod(number, of_epoch)
            if self._batches is None or start == 0:
                batches = self._split.batches(
                    size, seed=self._settings.seed, epoch=epoch, start=start
                )
                self._batches = iter(batches)
            ids, labels, *weights = next(self._batches)
            batch = (ids, labels, weights[0] if weights else None)
            self._step(batch, tf.constant(number + 1, tf.float32))

    def _one_step(self, batch: Any, number: tf.Tensor) -> None:
        variables = [table.weights_of_widths.value for table in self._tables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable)
            loss = mean_loss(self._model, batch)
        gradients = tape.gradient(loss, variables)
        for table, gradient in zip(self._tables, gradients, strict=True):
            table.step(gradient, self._settings.learning_rate, number)


def column_scores(table: MixtureOfWidths, counts: np.ndarray) -> np.ndarray:
    """float32 [N, d]: the rank of an entry's column among those of all fields, then of its feature by `counts`.

    Where these are not of the table's rows, the first rows come first.
    """
    shares = np.round(table.shares().numpy(), 6)  # all of a sum are 1, up to rounding
    _, ranks = np.unique(shares, return_inverse=True)
    of_rows = np.repeat(ranks.reshape(shares.shape), table.field_sizes or [table.input_dim], axis=0)
    own = counts if len(counts) == table.input_dim else np.zeros(table.input_dim)
    order = np.argsort(-own, kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(len(order), 0, -1) / (1 + len(order))
    return (of_rows + place[:, None]).astype(np.float32)
