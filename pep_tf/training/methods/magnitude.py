"""Magnitude pruning: the table is trained whole, and its largest entries stay."""

import pathlib
from typing import Any

import keras

from pep_tf.data import CTRData
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.fit import fit
from pep_tf.training.layer_state import walk
from pep_tf.training.methods.unpruned import unpruned
from pep_tf.training.progress import Reporter
from pep_tf.training.prune import PruneResult
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.pruning import Pruning
from pep_tf.training.settings import Settings
from pep_tf.training.weights import assign, snapshot


def magnitude(
    model: keras.Model,
    data: CTRData,
    settings: Settings,
    budgets: Any,
    *,
    folder: str | pathlib.Path | None = None,
    reporter: Reporter | None = None,
    dtype: StoredAs = "float32",
    rounds: bool = False,
) -> PruneResult:
    """Trains the model unpruned, as a baseline is trained, and cuts the tickets by |E|.

    Tickets start from the weights before this training ("rewinding" to the start). In rounds, only
    the largest budget is cut from the unpruned model, and each other one from the ticket before it
    once that is trained; the last one need not be trained here.

    Args:
        model: as for `prune`; its thresholds are put where they keep everything.
        data: trains on `data.train`, with early stopping on `data.validation`.
        settings: see `Settings`; `epochs` and `patience` are those of each training.
        budgets, folder, reporter, dtype: see `prune`.
        rounds: one training for each budget instead of one in all.

    Raises:
        DataError, RunError, ModelError: as `prune`.

    Reference:
        Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015.
        Frankle, Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, which prunes in rounds.
    """
    kept = None if folder is None else PruneFolder(folder)
    name = "magnitude_rounds" if rounds else "magnitude"
    pruning = unpruned(model, data, budgets, name, kept, reporter, dtype, by_scores=False)
    trained, epochs, seconds = model, 0, 0.0
    for number, budget in enumerate(list(pruning.budgets)):
        if number and not rounds:
            pruning.cut([budget], pruning.tickets[0].step, forced=False)
            continue
        if number:
            trained = pruning.tickets[-1].model()
        result = fit(
            trained,
            data,
            settings,
            stage=f"{name} {number + 1}" if rounds else name,
            checkpoint=None if kept is None else _checkpoint(kept, number),
            reporter=reporter,
        )
        if number:
            _take_over(model, trained, pruning)
        epochs, seconds = epochs + result.epochs, seconds + result.seconds
        pruning.history += result.history
        steps = -(-data.train.num_rows // settings.batch_size)
        pruning.cut([budget], result.best_epoch * steps, forced=False)
    return PruneResult(pruning.tickets, pruning.history, epochs, seconds)


def _checkpoint(folder: PruneFolder, number: int) -> pathlib.Path:
    """Of the training of a round; the first one's tells that the folder is in use."""
    return folder.path / f"round_{number}.safetensors" if number else folder.checkpoint


def _take_over(model: keras.Model, small: keras.Model, pruning: Pruning) -> None:
    """Gives a model the weights of the model of its last ticket, zeros where nothing was kept."""
    own = snapshot(model, without=list(pruning.tables.values()))
    assign(model, {name: value for name, value in snapshot(small).items() if name in own})
    found = dict(walk(small))
    for key, table in pruning.tickets[-1].tables.items():
        pruning.tables[key].table.assign(found[table.path].effective_table())
