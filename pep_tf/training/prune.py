"""Pruning: thresholds train beside the table, and each budget that is reached yields a ticket."""

import dataclasses
import pathlib
import time
from typing import Any

import keras
import numpy as np

from pep_tf.data import CTRData
from pep_tf.distributed import agreed
from pep_tf.errors import RunError, reading
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.budgets import total
from pep_tf.training.inputs import check_inputs
from pep_tf.training.loop import DELETE, Loop
from pep_tf.training.metrics import Evaluator
from pep_tf.training.progress import Reporter, Silent
from pep_tf.training.prune_folder import PruneFolder, budget_of, from_json
from pep_tf.training.pruning import Pruning
from pep_tf.training.settings import Settings
from pep_tf.training.threshold_plan import ThresholdPlan, carry_out
from pep_tf.training.ticket import Ticket
from pep_tf.training.trained_on import note_trained_on
from pep_tf.training.weights import snapshot

_VALUES_TO_RANK = 1 << 16
_CHECKS = "--check_every or --threshold_learning_rate"  # what decides how far thresholds go between


@dataclasses.dataclass
class PruneResult:
    """What came out of `prune`.

    Attributes:
        tickets: one per budget, in falling order of the budget.
        history: one dict per check: step, nnz, loss, threshold s (mean, `threshold_low` and
            `threshold_high`: 10th and 90th percentile); at the end of an epoch also the validation
            AUC.
        epochs: epochs trained, the last one perhaps in part.
        seconds: time spent, over all resumptions.
    """

    tickets: list[Ticket]
    history: list[dict[str, float]]
    epochs: int
    seconds: float


def prune(
    model: keras.Model,
    data: CTRData,
    settings: Settings,
    budgets: Any,
    *,
    folder: str | pathlib.Path | None = None,
    reporter: Reporter | None = None,
    dtype: StoredAs = "float32",
    until: int | None = None,
    run_id: str = "",
) -> PruneResult:
    """Trains table, thresholds and tower together until the last budget is cut.

    A ticket is cut at the first check at which the non-zeros are within its budget: of all entries
    those with the highest `|V| - g(s)` stay, exactly as many as the budget allows. What is not
    reached within `settings.prune_epochs` is cut in the same way from the last state.

    A budget covers all tables with thresholds as if they were one, such as the first-order weights
    of `build_model(..., prune_linear=True)`.

    Args:
        model: a model that maps ids [B, F] to logits [B, 1], with a `PEPEmbedding` or more.
        data: trains on `data.train`; `data.validation` is only watched.
        settings: see `Settings`.
        budgets: of all tables together or by table; see `resolve_table_budgets`.
        folder: keeps the checkpoint and the tickets cut so far; goes on from there if it has any.
        reporter: receives the progress.
        dtype: how an export will store numbers; budgets in bytes go by it.
        until: epochs to halt after: the budgets that are not reached are cut from the state there,
            and a later call with a higher `until`, or none, goes on from `folder` as if there had
            been no halt.
        run_id: of the run, if its folder might hold another one; checkpoints carry it.

    Raises:
        DataError: data that cannot be trained on or scored, before the first step.
        RunError: a model that cannot be pruned, or that was trained under another mapping or on
            another split; a bad budget; a folder with a checkpoint of another run or of other data; a
            loss that is not finite (`DivergedError`).
    """
    check_inputs(model, data)
    note_trained_on(model, data)
    kept = None if folder is None else PruneFolder(folder)
    run = _Run(model, data, settings, budgets, kept, reporter or Silent(), dtype, run_id)
    return run.finish(settings.prune_epochs if until is None else until)


class _Run:
    """The state of one pruning run."""

    def __init__(
        self,
        model: keras.Model,
        data: CTRData,
        settings: Settings,
        budgets: Any,
        folder: PruneFolder | None,
        reporter: Reporter,
        dtype: StoredAs,
        run_id: str,
    ) -> None:
        if not model.built:
            model.build()
        facts = {**facts_of(data), "identity": data.identity.get_config()}
        self.pruning = Pruning(model, budgets, reporter, folder, facts, dtype)
        self.pruning.initial = snapshot(model)
        carry_out(ThresholdPlan(), {}, self.pruning.whole())
        self.data, self.settings, self.reporter, self.run_id = data, settings, reporter, run_id
        self.loop = Loop(
            "prune", model, settings.optimizer(model), data.train, settings, data.identity
        )
        self.total = settings.prune_epochs * self.loop.batches_per_epoch
        self.evaluate = Evaluator(model)
        self.started = time.perf_counter()
        warned = self._resume()
        self.pruning.look_ahead(self.loop.optimizer, self.loop.step, warned)

    def finish(self, until: int) -> PruneResult:
        settings, loop, pruning = self.settings, self.loop, self.pruning
        halt = min(self.total, until * loop.batches_per_epoch)
        self.reporter.start("prune", self.total, loop.step)
        while pruning.pending and loop.step < halt:
            loss = loop.run(settings.check_every - loop.step % settings.check_every)
            self._check(loss)
            if loop.step % settings.checkpoint_every == 0:
                self._save()
        if halt < self.total:
            self._save()  # before the cuts below, which are to leave no trace
            pruning.cut(list(pruning.pending), loop.step, forced=True)
        else:
            pruning.finish(loop.step)
        self.reporter.finish()
        epochs = loop.epoch + (loop.batch > 0)
        return PruneResult(pruning.tickets, pruning.history, epochs, self._seconds())

    def _check(self, loss: float) -> None:
        """Looks at the table, and cuts the tickets whose budget is reached."""
        pruning, step = self.pruning, self.loop.step
        counted = pruning.count(step, _CHECKS)[pruning.main]
        seen = pruning.history[-1]
        low, high = np.percentile(_some_rows(counted.thresholds), [10, 90])
        seen |= {"loss": loss, "threshold_low": float(low), "threshold_high": float(high)}
        if self.loop.batch == 0:
            seen["validation_auc"] = self.evaluate(self.data.validation).auc
            self.reporter.histograms(
                step, thresholds=counted.thresholds, weights=counted.table.ravel()
            )
        hidden = ("step", "threshold_low", "threshold_high")
        shown: dict[str, Any] = {key: value for key, value in seen.items() if key not in hidden}
        if pruning.pending:
            shown["next_budget"] = total(pruning.pending[0])
        self.reporter.update(step, **shown)
        if self.loop.batch == 0:
            pruning.look_on(step, self.total, "For more, raise --threshold_init or --prune_epochs.")

    def _save(self) -> None:
        pruning = self.pruning
        if pruning.folder is not None:
            facts = {
                "run_id": self.run_id,
                "history": pruning.history,
                "warned": pruning.warned,
                "seconds": self._seconds(),
                "cut": [budget_of(ticket) for ticket in pruning.tickets],
            }
            self.loop.save(pruning.folder.checkpoint, dict(pruning.initial), facts)

    def _resume(self) -> bool:
        """Goes on from a checkpoint, if there is one; returns whether a forecast was given."""
        pruning, folder = self.pruning, self.pruning.folder
        if folder is None or not agreed(folder.checkpoint.exists()):
            return False
        pruning.initial, facts = self.loop.restore(folder.checkpoint, pruning.initial)
        with reading(folder.checkpoint, RunError, DELETE):
            run_id, cut = facts.get("run_id", ""), [from_json(budget) for budget in facts["cut"]]
            pruning.history, warned = list(facts["history"]), bool(facts["warned"])
            self.started -= float(facts["seconds"])
        if run_id != self.run_id:
            raise RunError(
                f"The pruning in {folder.path} was begun with other values. Use another folder."
            )
        if foreign := [budget for budget in cut if budget not in pruning.budgets]:
            raise RunError(
                f"The pruning in {folder.path} has cut tickets of {foreign} entries, which "
                "`budgets` does not name. Use the same budgets, or another folder."
            )
        for budget in cut:
            pruning.take_up(budget, Ticket.load(folder.ticket(pruning.budgets, budget)))
        return warned

    def _seconds(self) -> float:
        return time.perf_counter() - self.started


def facts_of(data: CTRData) -> dict[str, Any]:
    """Where a result comes from: the data set's name, its splits, and digests of its identity."""
    digests = data.identity.digests()
    return {
        "dataset": data.name,
        "split_md5": {name: split.md5 for name, split in data.splits.items()},
        "content_md5": digests.pop("content"),
        "data_md5": digests,
    }


def _some_rows(thresholds: np.ndarray) -> np.ndarray:
    """Evenly spaced rows, few enough that their percentiles cost less than a step."""
    values = np.atleast_1d(thresholds)
    return values[:: max(1, values.size // _VALUES_TO_RANK)]
