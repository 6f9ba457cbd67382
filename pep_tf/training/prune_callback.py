"""Pruning as a Keras callback: `fit` of any model yields a ticket for each budget."""

import pathlib
import weakref
from typing import Any

import keras
import numpy as np

from pep_tf.errors import RunError
from pep_tf.numbers import read_number, whole
from pep_tf.training.budgets import is_reached, resolve_table_budgets
from pep_tf.training.build_fn import build_fn_of
from pep_tf.training.cut_tickets import check_tickets, cut_tickets
from pep_tf.training.first_batch import before_first_step, is_built
from pep_tf.training.forecast import Forecast, described, passed_by_far
from pep_tf.training.nonzeros import Nonzeros, Seen
from pep_tf.training.progress import Printed, Reporter
from pep_tf.training.prune_folder import Beginning, PruneFolder
from pep_tf.training.pruned_tables import Budget, entries_of, pruned_tables
from pep_tf.training.threshold_plan import (
    ThresholdPlan,
    automatic,
    carry_out,
    check_prunable,
    own_optimizer,
    pull_only,
)
from pep_tf.training.ticket import Ticket
from pep_tf.training.weights import snapshot

_MOST_BETWEEN = 50  # steps between two counts of the non-zeros
_LEAST_COUNTS = 100  # in a run

# The callbacks that prune a model, for others that keep or restore its state.
_PRUNES: weakref.WeakKeyDictionary[keras.Model, "PruneCallback"] = weakref.WeakKeyDictionary()


class PruneCallback(keras.callbacks.Callback):
    """Cuts a ticket at each budget that the tables of a model come down to while it is trained.

    Every `PEPEmbedding` of the model that is trainable takes part; `prunable` puts them in place of
    the embeddings of a model. A ticket is cut when a count of the non-zeros is within its budget: of
    all entries those with the highest `|V| - g(s)` stay, exactly as many as the budget allows.
    Budgets that are not reached when training ends are cut in the same way, which is said, and after
    the first epoch it is said where that is to be expected.

    Args:
        budgets: entries to keep: counts, fractions or percentages of all tables together, such as
            `["20%", "5%"]`; or `{table: budget}`, or a list of such, of each table by itself, where a
            table that is not named keeps all of its entries. A table's name is that of its layer, or
            where two have the same the path to it, `"user_tower/embedding"`.
        threshold_init: `"auto"` starts the thresholds, and under an optimizer of this package sets
            their rate, so that the steps at hand suffice (see `automatic`); a number starts them
            there; None leaves them as they are.
        steps: updates that training will make; None takes epochs times steps from `fit`.
        check_every: steps between two counts; None takes 50, fewer in a short training.
        stop: whether training ends with the last budget.
        folder: keeps the tickets as they are cut, and what is needed to go on where a model is
            restored (`pep_tf.Backup`, which gives a folder of its own, or
            `keras.callbacks.BackupAndRestore`).
        reporter: receives what is to be said; by default it is printed.

    Attributes:
        tickets: those cut so far, the one that keeps most first.
        history: one dict a count: step, nnz, and the mean threshold of the largest table.

    Raises:
        RunError: budgets that cannot be read or name no table, an unknown number of steps, an
            optimizer that cannot prune; ModelError: a model without a table to prune, or one that
            cannot be made anew for a ticket. All of it before the first step.

    Example:
        >>> model = keras.Sequential([keras.layers.Embedding(50, 8, name="item")])
        >>> model = pep_tf.prunable(model)
        >>> model.compile(pep_tf.RowwiseAdam(1e-3), loss="mse")
        >>> cut = pep_tf.PruneCallback(["20%", 9])
        >>> history = model.fit(np.arange(50), np.zeros((50, 8)), callbacks=[cut], verbose=0)
        >>> [ticket.nnz for ticket in cut.tickets]
        [80, 9]
        >>> small = cut.tickets[-1].model()
    """

    def __init__(
        self,
        budgets: Any,
        threshold_init: str | float | None = "auto",
        steps: int | None = None,
        check_every: int | None = None,
        *,
        stop: bool = True,
        folder: str | pathlib.Path | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        super().__init__()
        if not (threshold_init in ("auto", None) or read_number(threshold_init) is not None):
            raise RunError(
                f"`threshold_init` must be 'auto', a number or None. Received: {threshold_init!r}"
            )
        self.budgets, self.threshold_init, self.stop = budgets, threshold_init, stop
        self.steps = None if steps is None else whole("steps", steps, least=1)
        self.check_every = (
            None if check_every is None else whole("check_every", check_every, least=1)
        )
        self.folder = None if folder is None else PruneFolder(folder)
        self.reporter = reporter or Printed()
        self.tickets: list[Ticket] = []
        self.history: list[dict[str, float]] = []
        self.within_epoch = False  # set by one that restores a model in the middle of an epoch
        self._pending: list[Budget] | None = None  # None before the first epoch
        self._every, self._counted, self._half_way = 1, 0, False

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        _PRUNES[model] = self
        self._seen_at = self._updates()  # which differ at the first epoch in a restored model

    def on_train_begin(self, logs: Any = None) -> None:
        self._pending, self.tickets, self.history = None, [], []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._pending is not None:
            return
        self._epochs = max(1, (self.params or {}).get("epochs", 1) - epoch)
        # By now other callbacks have restored what they do.
        if is_built(self.model):
            self._begin()
        else:
            before_first_step(self.model, self._begin)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        step = self._step()
        if step // self._every > self._counted // self._every:
            self._count(step)
        if self._epochs == 1 and not self._half_way and step >= self._total / 2:
            self._half_way = True  # there is no second epoch to know it in
            self._foresee(step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        step = self._step()
        if step > self._counted:
            self._count(step)
        self._foresee(step)
        if logs is not None and self.history:
            logs["nnz"] = self.history[-1]["nnz"]

    def on_train_end(self, logs: Any = None) -> None:
        if self._pending is None:
            return
        for budget in self._pending:
            self.reporter.note(
                f"Thresholds alone did not reach {described(budget)}: cut there by |V| - g(s)."
            )
        self._cut(list(self._pending), self._step(), forced=True)
        self._note(finished=True)

    def _begin(self) -> None:
        model, optimizer = self.model, own_optimizer(self.model)
        self._tables = pruned_tables(model)
        entries = entries_of(self._tables)
        self._budgets = resolve_table_budgets(self.budgets, entries)
        self._main = max(entries, key=lambda key: entries[key])
        by_table = [b for b in self._budgets if not isinstance(b, int)]
        self._whole = {
            key: layer
            for key, layer in self._tables.items()
            if by_table and all(b[key] == entries[key] for b in by_table)
        }
        check_tickets(model, self._tables)
        restored, self._half_way = self._updates() != self._seen_at, False
        said = self._go_on() if restored else self._start_anew(optimizer)
        if getattr(model, "train_function", None) is not None:
            model.make_train_function(force=True)  # one that was traced knows other constants
        self._every = self.check_every or min(_MOST_BETWEEN, max(1, self._total // _LEAST_COUNTS))
        self._counted = self._step()
        self._counts = {name: Nonzeros(layer) for name, layer in self._tables.items()}
        self._forecast = Forecast(self._pruned(), self._look(), self._counted)
        self._forecast.given = said
        if restored and not self.within_epoch and not self._is_counted():
            self._count(self._counted)  # at the end of an epoch, which was cut off
        if self.stop and not self._pending:
            self.model.stop_training = True

    def _start_anew(self, optimizer: Any) -> bool:
        """Gives the thresholds their start; nothing has been said yet."""
        check_prunable(self._tables, optimizer)
        steps = self._steps_at_hand()
        initial = snapshot(self.model)
        plan, pruned = ThresholdPlan(), self._pruned()
        if self.threshold_init == "auto":
            if optimizer is None:
                raise RunError(
                    "`threshold_init='auto'` takes the optimizer that the model was compiled with, "
                    "which has none: give a number."
                )
            plan = automatic(pruned, optimizer, steps)
        elif self.threshold_init is not None:
            plan = ThresholdPlan(start=float(read_number(self.threshold_init).value))  # type: ignore[union-attr]
        beginning = Beginning(initial, self._budgets, plan, self._updates(), steps)
        carry_out(plan, pruned, self._whole)
        if self.folder is not None:
            self.folder.begin(beginning)
        self._take_up(beginning)
        return False

    def _go_on(self) -> bool:
        """Takes up a pruning whose model was restored; returns whether a forecast was given."""
        if self.folder is None:
            raise RunError(
                "The model was restored by another callback, but what PruneCallback had begun was "
                "not kept. Use pep_tf.Backup, or PruneCallback(folder=...) from the start."
            )
        beginning = self.folder.beginning(self._budgets)
        pull_only(beginning.plan, self._pruned(), self._whole)
        self._take_up(beginning)
        step = self._step()
        self.history, said = self.folder.progress(step)
        for budget, ticket in self.folder.tickets(self._budgets, step):
            ticket.blueprint.build_fn = build_fn_of(self.model)
            self._pending.remove(budget)  # type: ignore[union-attr]
            self.tickets.append(ticket)
        return said

    def _take_up(self, beginning: Beginning) -> None:
        self._initial, self._first = beginning.initial, beginning.first
        self._total, self._pending = beginning.steps, list(self._budgets)

    def _pruned(self) -> dict[str, Any]:
        """The tables of which a budget leaves something out."""
        return {name: x for name, x in self._tables.items() if name not in self._whole}

    def _steps_at_hand(self) -> int:
        if self.steps is not None:
            return self.steps
        each = (self.params or {}).get("steps")
        if each is None:
            raise RunError(
                "`steps` must be given: `fit` does not know how many steps an epoch of its data has. "
                "PruneCallback(steps=...) takes the updates that training will make in all."
            )
        together = getattr(own_optimizer(self.model), "gradient_accumulation_steps", None) or 1
        return max(1, self._epochs * int(each) // together)

    def _updates(self) -> int:
        """Updates that the optimizer has made."""
        optimizer = own_optimizer(self.model)
        return int(optimizer.iterations) if optimizer is not None and optimizer.built else 0

    def _step(self) -> int:
        return self._updates() - self._first

    def _is_counted(self) -> bool:
        return bool(self.history) and self.history[-1]["step"] == self._counted

    def _look(self) -> dict[str, Seen]:
        return {name: count() for name, count in self._counts.items()}

    def _count(self, step: int) -> None:
        """Looks at the tables, and cuts the tickets whose budget is reached."""
        seen, self._counted = self._look(), step
        nnz = {name: look.nnz for name, look in seen.items()}
        threshold = float(np.mean(seen[self._main].thresholds))
        self.history.append({"step": step, "nnz": sum(nnz.values()), "threshold": threshold})
        reached = [budget for budget in self._pending or [] if is_reached(budget, nnz)]
        if told := passed_by_far(reached, nnz, step, "`check_every` or the learning rate"):
            self.reporter.note(told)
        self._cut(reached, step, forced=False)
        self._note()
        if self.stop and not self._pending:
            self.model.stop_training = True

    def _cut(self, budgets: list[Budget], step: int, forced: bool) -> None:
        if not budgets or self._pending is None:
            return
        cut = cut_tickets(self.model, self._initial, budgets, step, forced, {})
        for budget, ticket in zip(budgets, cut, strict=True):
            if self.folder is not None:
                self.folder.save(ticket, self._budgets)
            self._pending.remove(budget)
            self.tickets.append(ticket)
        self.tickets.sort(key=lambda ticket: -ticket.budget)

    def _foresee(self, step: int) -> None:
        """Says, once, where the thresholds will not get as far as the budgets ask."""
        told = self._forecast.at(self._look(), step, self._total, self._pending or [])
        if told is not None:
            optimizer = type(own_optimizer(self.model)).__name__
            self.reporter.note(
                f"{told} For more: more epochs, a higher `threshold_init`, or another optimizer than "
                f"{optimizer}, such as pep_tf.RowwiseAdam with `threshold_init='auto'`."
            )
            self._note()

    def _note(self, finished: bool = False) -> None:
        if self.folder is not None:
            self.folder.note(self.history, self._forecast.given, finished)


def prune_of(model: keras.Model) -> PruneCallback | None:
    """The callback that prunes a model in the `fit` under way; None if there is none."""
    return _PRUNES.get(model)
