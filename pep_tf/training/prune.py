"""Pruning: thresholds train beside the table, and each budget that is reached yields a ticket."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.data import CTRData
from pep_tf.errors import RunError, reading
from pep_tf.paths import resolve
from pep_tf.training.budgets import Budget, resolve_budgets
from pep_tf.training.cut_tickets import cut_tickets
from pep_tf.training.forecast import passed_by_far
from pep_tf.training.inputs import check_inputs
from pep_tf.training.loop import DELETE, Loop
from pep_tf.training.metrics import Evaluator
from pep_tf.training.nonzeros import Nonzeros
from pep_tf.training.progress import Reporter, Silent
from pep_tf.training.pruned_tables import entries_of, pruned_tables
from pep_tf.training.settings import Settings
from pep_tf.training.swap import Blueprint
from pep_tf.training.threshold_plan import typical_weight
from pep_tf.training.ticket import Ticket
from pep_tf.training.trained_on import note_trained_on
from pep_tf.training.weights import snapshot

_VALUES_TO_RANK = 1 << 16
_CHECKS = "--check_every or --threshold_learning_rate"  # what decides how far thresholds go between


@dataclasses.dataclass
class PruneResult:
    """What came out of `prune`.

    Attributes:
        tickets: one a budget, in falling order of the budget.
        history: one dict a check: step, nnz, loss, threshold s (mean, `threshold_low` and
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
    budgets: Sequence[Budget],
    *,
    folder: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
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
        budgets: counts, fractions or percentages (see `resolve_budgets`).
        folder: keeps the checkpoint and the tickets cut so far; goes on from there if it has any.
        reporter: receives the progress.
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
    path = None if folder is None else resolve(folder)
    run = _Pruning(model, data, settings, budgets, path, reporter or Silent(), run_id)
    return run.finish(settings.prune_epochs if until is None else until)


class _Pruning:
    """The state of one pruning run."""

    def __init__(
        self,
        model: keras.Model,
        data: CTRData,
        settings: Settings,
        budgets: Sequence[Budget],
        folder: pathlib.Path | None,
        reporter: Reporter,
        run_id: str,
    ) -> None:
        if not model.built:
            model.build()
        self.tables = pruned_tables(model)
        self.model, self.data, self.settings = model, data, settings
        self.folder, self.reporter, self.run_id = folder, reporter, run_id
        entries = entries_of(self.tables)
        self.main = max(entries, key=lambda key: entries[key])  # whose thresholds are told of
        self.pending = resolve_budgets(budgets, sum(entries.values()))
        Blueprint.of(model, self.tables)  # a ticket's model can be made, or it is known now
        self.initial = snapshot(model)
        self.tickets: list[Ticket] = []
        self.history: list[dict[str, float]] = []
        self.loop = Loop(
            "prune", model, settings.optimizer(model), data.train, settings, data.identity
        )
        self.evaluate = Evaluator(model)
        self.nonzeros = {name: Nonzeros(layer) for name, layer in self.tables.items()}
        self.started = time.perf_counter()
        self.warned = False
        self._resume()

    def finish(self, until: int) -> PruneResult:
        settings, loop = self.settings, self.loop
        total = settings.prune_epochs * loop.batches_per_epoch
        halt = min(total, until * loop.batches_per_epoch)
        self.reporter.start("prune", total, loop.step)
        while self.pending and loop.step < halt:
            loss = loop.run(settings.check_every - loop.step % settings.check_every)
            self._check(loss)
            if loop.step % settings.checkpoint_every == 0:
                self._save()
        if halt < total:
            self._save()  # before the cuts below, which are to leave no trace
        else:
            for budget in self.pending:
                self.reporter.note(
                    f"Thresholds alone did not reach {budget:,} entries: cut there by |V| - g(s)."
                )
        self._cut(list(self.pending), forced=True)
        self.reporter.finish()
        epochs = loop.epoch + (loop.batch > 0)
        return PruneResult(self.tickets, self.history, epochs, self._seconds())

    def _check(self, loss: float) -> None:
        """Looks at the table, and cuts the tickets whose budget is reached."""
        looks = {name: count() for name, count in self.nonzeros.items()}
        nnz, thresholds = sum(look.nnz for look in looks.values()), looks[self.main].thresholds
        seen: dict[str, float] = {"step": self.loop.step, "nnz": nnz, "loss": loss}
        seen["threshold"] = float(np.mean(thresholds))
        low, high = np.percentile(_some_rows(thresholds), [10, 90])
        seen |= {"threshold_low": float(low), "threshold_high": float(high)}
        if self.loop.batch == 0:
            seen["validation_auc"] = self.evaluate(self.data.validation).auc
            weights = looks[self.main].table.ravel()
            self.reporter.histograms(self.loop.step, thresholds=thresholds, weights=weights)
        self.history.append(seen)
        reached = [budget for budget in self.pending if nnz <= budget]
        left = {name: look.nnz for name, look in looks.items()}
        if told := passed_by_far(reached, left, self.loop.step, _CHECKS):
            self.reporter.note(told)
        self._cut(reached, forced=False)
        hidden = ("step", "threshold_low", "threshold_high")
        shown = {key: value for key, value in seen.items() if key not in hidden}
        if self.pending:
            shown["next_budget"] = self.pending[0]
        self.reporter.update(self.loop.step, **shown)
        if self.loop.batch == 0:
            self._warn_if_off_course()

    def _cut(self, budgets: list[int], forced: bool) -> None:
        if not budgets:
            return
        facts = {**facts_of(self.data), "identity": self.data.identity.get_config()}
        for ticket in cut_tickets(self.model, self.initial, budgets, self.loop.step, forced, facts):
            self.pending.remove(ticket.budget)
            self.tickets.append(ticket)
            if self.folder:
                ticket.save(self.folder / f"ticket_{ticket.budget}.safetensors")

    def _warn_if_off_course(self) -> None:
        """Says once, early, when the thresholds will end far below the weights."""
        per_epoch = self.loop.batches_per_epoch
        if self.warned or not self.pending or len(self.history) < 2:  # two make a pace
            return
        first, last = self.history[0], self.history[-1]
        pace = (last["threshold"] - first["threshold"]) / max(1, last["step"] - first["step"])
        left = self.settings.prune_epochs * per_epoch - self.loop.step
        reach = last["threshold"] + pace * left
        embedding = self.tables[self.main]
        if float(embedding.gate(tf.constant(reach))) >= typical_weight(embedding):
            return
        self.warned = True
        self.reporter.note(
            f"The thresholds (now {last['threshold']:.2f}, {pace * per_epoch:+.2f} an epoch) will "
            f"end near {reach:.2f}, too low to prune much. The budgets {self.pending} will be cut "
            "by |V| - g(s) at the end. For more, raise --threshold_init or --prune_epochs."
        )

    def _save(self) -> None:
        if self.folder:
            facts = {
                "run_id": self.run_id,
                "history": self.history,
                "warned": self.warned,
                "seconds": self._seconds(),
                "cut": [ticket.budget for ticket in self.tickets],
            }
            self.loop.save(self.folder / "checkpoint.safetensors", self.initial, facts)

    def _resume(self) -> None:
        if not self.folder or not (path := self.folder / "checkpoint.safetensors").exists():
            return
        self.initial, facts = self.loop.restore(path, self.initial)
        with reading(path, RunError, DELETE):
            run_id, cut = facts.get("run_id", ""), list(facts["cut"])
            self.history, self.warned = list(facts["history"]), bool(facts["warned"])
            self.started -= float(facts["seconds"])
        if run_id != self.run_id:
            raise RunError(
                f"The pruning in {self.folder} was begun with other values. Use another folder."
            )
        if foreign := set(cut) - set(self.pending):
            raise RunError(
                f"The pruning in {self.folder} has cut tickets of {sorted(foreign)} entries, which "
                "`budgets` does not name. Use the same budgets, or another folder."
            )
        for budget in cut:
            self.tickets.append(Ticket.load(self.folder / f"ticket_{budget}.safetensors"))
            self.pending.remove(budget)

    def _seconds(self) -> float:
        return time.perf_counter() - self.started


def facts_of(data: CTRData) -> dict[str, Any]:
    """Where a result comes from: the data set's name, its splits, and digests of its identity."""
    return {
        "dataset": data.name,
        "split_md5": {name: split.md5 for name, split in data.splits.items()},
        "data_md5": data.identity.digests(),
    }


def _some_rows(thresholds: np.ndarray) -> np.ndarray:
    """Evenly spaced rows, few enough that their percentiles cost less than a step."""
    values = np.atleast_1d(thresholds)
    return values[:: max(1, values.size // _VALUES_TO_RANK)]
