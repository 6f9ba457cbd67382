"""Pruning: thresholds train beside the table, and each budget that is reached yields a ticket."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.data import CTRData
from pep_tf.errors import RunError
from pep_tf.layers import PEPEmbedding
from pep_tf.training.budgets import Budget, resolve_budgets
from pep_tf.training.cut import cut_mask
from pep_tf.training.loop import Loop
from pep_tf.training.metrics import Evaluator
from pep_tf.training.nonzeros import Nonzeros
from pep_tf.training.progress import Reporter, Silent
from pep_tf.training.settings import Settings
from pep_tf.training.ticket import TABLE, Ticket
from pep_tf.training.weights import snapshot

_ROWS_TO_JUDGE = 1 << 16
_VALUES_TO_RANK = 1 << 16


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
    folder: pathlib.Path | None = None,
    reporter: Reporter | None = None,
) -> PruneResult:
    """Trains table, thresholds and tower together until the last budget is cut.

    A ticket is cut at the first check at which the non-zeros are within its budget: of all entries
    those with the highest `|V| - g(s)` stay, exactly as many as the budget allows. What is not
    reached within `settings.prune_epochs` is cut in the same way from the last state.

    Args:
        model: a built model whose `embedding` is a `PEPEmbedding` with `pruning="threshold"`.
        data: trains on `data.train`; `data.validation` is only watched.
        settings: see `Settings`.
        budgets: counts, fractions or percentages (see `resolve_budgets`).
        folder: keeps the checkpoint and the tickets cut so far; goes on from there if it has any.
        reporter: receives the progress.

    Raises:
        RunError: a model that cannot be pruned, a bad budget, a loss that is not finite.
    """
    run = _Pruning(model, data, settings, budgets, folder, reporter or Silent())
    return run.finish()


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
    ) -> None:
        self.embedding = _prunable(model)
        self.model, self.data, self.settings = model, data, settings
        self.folder, self.reporter = folder, reporter
        entries = self.embedding.input_dim * self.embedding.output_dim
        self.pending = resolve_budgets(budgets, entries)
        self.initial = snapshot(model)
        self.tickets: list[Ticket] = []
        self.history: list[dict[str, float]] = []
        self.loop = Loop("prune", model, settings.optimizer(model), data.train, settings)
        self.evaluate = Evaluator(model)
        self.nonzeros = Nonzeros(self.embedding)
        self.started = time.perf_counter()
        self.warned = False
        self._resume()

    def finish(self) -> PruneResult:
        settings, loop = self.settings, self.loop
        total = settings.prune_epochs * loop.batches_per_epoch
        self.reporter.start("prune", total, loop.step)
        while self.pending and loop.step < total:
            loss = loop.run(settings.check_every - loop.step % settings.check_every)
            self._check(loss)
            if loop.step % settings.checkpoint_every == 0:
                self._save()
        for budget in list(self.pending):
            self.reporter.note(
                f"Thresholds alone did not reach {budget:,} entries: cut there by |V| - g(s)."
            )
            self._cut(budget, forced=True)
        loop.optimizer.settle()  # the model can then be saved, or trained by another optimizer
        self.reporter.finish()
        epochs = loop.epoch + (loop.batch > 0)
        return PruneResult(self.tickets, self.history, epochs, self._seconds())

    def _check(self, loss: float) -> None:
        """Looks at the table, and cuts the tickets whose budget is reached."""
        nnz = self.nonzeros()
        seen: dict[str, float] = {"step": self.loop.step, "nnz": nnz, "loss": loss}
        thresholds = self.nonzeros.thresholds()
        seen["threshold"] = float(np.mean(thresholds))
        low, high = np.percentile(_some_rows(thresholds), [10, 90])
        seen |= {"threshold_low": float(low), "threshold_high": float(high)}
        if self.loop.batch == 0:
            seen["validation_auc"] = self.evaluate(self.data.validation).auc
            self.reporter.histograms(self.loop.step, thresholds=thresholds)
        self.history.append(seen)
        while self.pending and nnz <= self.pending[0]:
            self._cut(self.pending[0], forced=False)
        hidden = ("step", "threshold_low", "threshold_high")
        shown = {key: value for key, value in seen.items() if key not in hidden}
        if self.pending:
            shown["next_budget"] = self.pending[0]
        self.reporter.update(self.loop.step, **shown)
        if self.loop.batch == 0:
            self._warn_if_off_course()

    def _cut(self, budget: int, forced: bool) -> None:
        self.pending.remove(budget)
        ticket = cut_ticket(
            self.model, self.initial, budget, self.loop.step, forced, facts_of(self.data)
        )
        self.tickets.append(ticket)
        if self.folder:
            ticket.save(self.folder / f"ticket_{budget}.safetensors")

    def _warn_if_off_course(self) -> None:
        """Says once, early, when the thresholds will end far below the weights."""
        per_epoch = self.loop.batches_per_epoch
        if self.warned or not self.pending or len(self.history) < 2:  # two make a pace
            return
        first, last = self.history[0], self.history[-1]
        pace = (last["threshold"] - first["threshold"]) / max(1, last["step"] - first["step"])
        left = self.settings.prune_epochs * per_epoch - self.loop.step
        reach = last["threshold"] + pace * left
        if float(self.embedding.gate(tf.constant(reach))) >= _typical_weight(self.embedding):
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
                "history": self.history,
                "warned": self.warned,
                "seconds": self._seconds(),
                "cut": [ticket.budget for ticket in self.tickets],
            }
            self.loop.save(self.folder / "checkpoint.safetensors", self.initial, facts)

    def _resume(self) -> None:
        if not self.folder or not (self.folder / "checkpoint.safetensors").exists():
            return
        self.initial, facts = self.loop.restore(self.folder / "checkpoint.safetensors")
        self.history, self.warned = facts["history"], facts["warned"]
        self.started -= facts["seconds"]
        if foreign := set(facts["cut"]) - set(self.pending):
            raise RunError(
                f"The pruning in {self.folder} has cut tickets of {sorted(foreign)} entries, which "
                "`budgets` does not name. Use the same budgets, or another folder."
            )
        for budget in facts["cut"]:
            self.tickets.append(Ticket.load(self.folder / f"ticket_{budget}.safetensors"))
            self.pending.remove(budget)

    def _seconds(self) -> float:
        return time.perf_counter() - self.started


def cut_ticket(
    model: keras.Model,
    initial: dict[str, np.ndarray],
    budget: int,
    step: int,
    forced: bool,
    facts: dict[str, Any],
) -> Ticket:
    """Cuts a ticket of exactly `budget` entries from the model as it stands."""
    embedding = model.embedding
    bits = cut_mask(
        lambda: ((start, score.numpy()) for start, _, score in embedding.blocks()),
        embedding.input_dim,
        embedding.output_dim,
        budget,
    )
    mask = np.unpackbits(bits, axis=1, count=embedding.output_dim).astype(bool)
    now = snapshot(model)
    now[TABLE] = embedding.effective_table()
    return Ticket(
        budget=budget,
        nnz=int(mask.sum()),
        step=step,
        forced=forced,
        mask_bits=bits,
        dim=embedding.output_dim,
        initial=_kept(initial, mask),
        pruned=_kept(now, mask),
        model_config=keras.saving.serialize_keras_object(model),
        facts=facts,
    )


def facts_of(data: CTRData) -> dict[str, Any]:
    """Where a result comes from: the data set's name and its splits."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {"dataset": data.name, "split_md5": {name: s.md5 for name, s in splits.items()}}


def _kept(weights: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    """Weights without thresholds, and of the table only the entries under the mask."""
    kept = {name: value for name, value in weights.items() if name != "embedding/thresholds"}
    kept[TABLE] = weights[TABLE][mask]
    return kept


def _some_rows(thresholds: np.ndarray) -> np.ndarray:
    """Evenly spaced rows, few enough that their percentiles cost less than a step."""
    values = np.atleast_1d(thresholds)
    return values[:: max(1, values.size // _VALUES_TO_RANK)]


def _prunable(model: keras.Model) -> PEPEmbedding:
    embedding = getattr(model, "embedding", None)
    if not isinstance(embedding, PEPEmbedding) or embedding.pruning != "threshold":
        raise RunError(
            "`model` must have an attribute `embedding` that is a PEPEmbedding with "
            f"pruning='threshold'. Received: {type(model).__name__} with {embedding!r}"
        )
    if not model.built:
        model.build()
    return embedding


def _typical_weight(embedding: PEPEmbedding) -> float:
    """Root mean square of V in the first rows."""
    rows = embedding.source.look(tf.range(min(embedding.input_dim, _ROWS_TO_JUDGE)))
    return float(tf.sqrt(tf.reduce_mean(tf.square(rows.table))))
