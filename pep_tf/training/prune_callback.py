"""Pruning as a Keras callback: `fit` of any model yields a ticket for each budget."""

import pathlib
import weakref
from typing import Any

import keras

from pep_tf import distributed
from pep_tf.errors import RunError
from pep_tf.layers import build_optimizer
from pep_tf.numbers import real, whole
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.first_batch import before_first_step, is_built
from pep_tf.training.progress import Printed, Reporter
from pep_tf.training.prune_folder import Beginning, PruneFolder
from pep_tf.training.pruning import Pruning
from pep_tf.training.threshold_plan import (
    ThresholdPlan,
    automatic,
    carry_out,
    check_prunable,
    own_optimizer,
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
        dtype: how an export will store numbers; budgets in bytes, such as `"30KB"` and `"3%bytes"` of all
            tables together, go by it.
        stop: whether training ends with the last budget.
        folder: keeps the tickets as they are cut, and what is needed to go on where a model is
            restored (`pep_tf.Backup`, which gives a folder of its own, or
            `keras.callbacks.BackupAndRestore`).
        reporter: receives what is to be said; by default it is printed.

    Attributes:
        tickets: those cut so far, the one that keeps most first.
        history: one dict per count: step, nnz, and the mean threshold of the largest table.

    Raises:
        RunError: budgets that cannot be read or name no table, an unknown number of steps, an
            optimizer that cannot prune, or several workers; ModelError: a model without a table to
            prune, or one that cannot be made anew for a ticket. All of it before the first step.

    Example:
        >>> model = keras.Sequential([keras.layers.Embedding(50, 8, name="item")])
        >>> model = pep_tf.prunable(model)
        >>> model.compile(pep_tf.RowwiseAdam(1e-3), loss="mse")
        >>> cut = pep_tf.PruneCallback(["20%", 9], reporter=pep_tf.training.Silent())
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
        dtype: StoredAs = "float32",
        folder: str | pathlib.Path | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        super().__init__()
        if threshold_init not in ("auto", None):
            try:
                threshold_init = real("threshold_init", threshold_init)
            except RunError:
                raise RunError(
                    f"`threshold_init` must be 'auto', a number or None. Received: {threshold_init!r}"
                ) from None
        self.budgets, self.threshold_init, self.stop = budgets, threshold_init, stop
        self.steps = None if steps is None else whole("steps", steps, least=1)
        self.check_every = (
            None if check_every is None else whole("check_every", check_every, least=1)
        )
        self.reporter, self.dtype = reporter or Printed(), dtype
        self._own_folder = None if folder is None else PruneFolder(folder)
        self._pruning: Pruning | None = None  # None before the first epoch
        self._every, self._counted, self._half_way = 1, 0, False

    @property
    def tickets(self) -> list[Ticket]:
        return [] if self._pruning is None else self._pruning.tickets

    @property
    def history(self) -> list[dict[str, float]]:
        return [] if self._pruning is None else self._pruning.history

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        _PRUNES[model] = self
        self.folder, self.within_epoch = self._own_folder, False  # which `Backup` may set
        self._seen_at = self._updates()  # which differ at the first epoch in a restored model

    def on_train_begin(self, logs: Any = None) -> None:
        if distributed.current() is not None:
            raise RunError(
                "Keras's `fit` does not share its batches among workers: call pep_tf.prune(model, data, ...) "
                "in place of PruneCallback."
            )
        if _PRUNES[self.model] is not self:
            raise RunError(
                "`fit` takes one PruneCallback, which would cut what another still trains. Received: two; "
                "give one all budgets."
            )
        self._pruning = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._pruning is not None:
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
        if self._pruning is None and self._updates() != self._seen_at:
            self._begin()  # restored after its last epoch
        if self._pruning is not None:
            self._pruning.folder = self.folder  # which may be gone by now
            self._pruning.finish(self._step())
            self._note(finished=True)

    def _begin(self) -> None:
        pruning = Pruning(self.model, self.budgets, self.reporter, self.folder, dtype=self.dtype)
        restored = self._updates() != self._seen_at
        warned = self._go_on(pruning) if restored else self._start_anew(pruning)
        if (optimizer := self.model.optimizer) is not None and not optimizer.built:
            build_optimizer(self.model)  # it knows of rows that are counted
        if getattr(self.model, "train_function", None) is not None:
            self.model.make_train_function(force=True)  # one that was traced knows other constants
        self._pruning, self._counted = pruning, self._step()
        self._every = self.check_every or min(_MOST_BETWEEN, max(1, self._total // _LEAST_COUNTS))
        self._half_way = self._counted >= self._total / 2
        pruning.look_ahead(own_optimizer(self.model), self._counted, warned)
        counted = bool(self.history) and self.history[-1]["step"] == self._counted
        if restored and not self.within_epoch and not counted:
            self._count(self._counted)  # at the end of an epoch, which was cut off
        if self.stop and not pruning.pending:
            self.model.stop_training = True

    def _start_anew(self, pruning: Pruning) -> bool:
        """Gives the thresholds their start; nothing has been said yet."""
        optimizer = own_optimizer(self.model)
        check_prunable(pruning.tables, optimizer)
        steps = self._steps_at_hand()
        initial = snapshot(self.model)
        plan, pruned = ThresholdPlan(), pruning.pruned()
        if self.threshold_init == "auto":
            if optimizer is None:
                raise RunError(
                    "`threshold_init='auto'` takes the optimizer that the model was compiled with, "
                    "which has none: give a number."
                )
            plan = automatic(pruned, optimizer, steps)
        elif self.threshold_init is not None:
            plan = ThresholdPlan(start=float(self.threshold_init))
        beginning = Beginning(initial, pruning.budgets, plan, self._updates(), steps)
        carry_out(plan, pruned, pruning.whole())
        if self.folder is not None:
            self.folder.begin(beginning)
        self._take_up(beginning, pruning)
        return False

    def _go_on(self, pruning: Pruning) -> bool:
        """Takes up a pruning whose model was restored; returns whether a forecast was given."""
        if self.folder is None:
            raise RunError(
                "The model was restored by another callback, but what PruneCallback had begun was "
                "not kept. Use pep_tf.Backup, or PruneCallback(folder=...) from the start."
            )
        weights, updates = snapshot(self.model), self._updates()
        beginning = self.folder.beginning(pruning.budgets, weights, updates)
        carry_out(beginning.plan, pruning.pruned(), pruning.whole(), restored=True)
        self._take_up(beginning, pruning)
        step = self._step()
        pruning.history, warned = self.folder.progress(step)
        for budget, ticket in self.folder.tickets(pruning.budgets, step):
            pruning.take_up(budget, ticket)
        return warned

    def _take_up(self, beginning: Beginning, pruning: Pruning) -> None:
        self._first, self._total = beginning.first, beginning.steps
        pruning.initial = beginning.initial

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

    def _count(self, step: int) -> None:
        """Counts, which may cut tickets and end the training."""
        assert self._pruning is not None
        self._counted = step
        self._pruning.count(step, "`check_every` or the learning rate")
        self._note()
        if self.stop and not self._pruning.pending:
            self.model.stop_training = True

    def _foresee(self, step: int) -> None:
        assert self._pruning is not None
        optimizer = type(own_optimizer(self.model)).__name__
        self._pruning.look_on(
            step,
            self._total,
            "For more: more epochs, a higher `threshold_init`, or another optimizer than "
            f"{optimizer}, such as pep_tf.RowwiseAdam with `threshold_init='auto'`.",
        )
        self._note()

    def _note(self, finished: bool = False) -> None:
        if self.folder is not None and self._pruning is not None:
            self.folder.note(self.history, self._pruning.warned, finished)


def prune_beside(callback: keras.callbacks.Callback) -> PruneCallback | None:
    """The callback that prunes in the same `fit` as another one; None if there is none."""
    cut = _PRUNES.get(callback.model)
    # Those of one `fit` are given the same dict.
    return cut if cut is not None and cut.params is callback.params else None
