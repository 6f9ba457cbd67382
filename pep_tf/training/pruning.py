"""What every pruning does, whoever takes its steps: counts non-zeros, cuts tickets, looks ahead."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pep_tf.errors import DivergedError
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training.budgets import is_reached, resolve_table_budgets
from pep_tf.training.build_fn import build_fn_of
from pep_tf.training.cut_tickets import check_tickets, cut_tickets
from pep_tf.training.forecast import Forecast, described, passed_by_far
from pep_tf.training.nonzeros import Nonzeros, Seen
from pep_tf.training.progress import Reporter
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.pruned_tables import Budget, entries_of, pruned_tables
from pep_tf.training.stored_size import StoredSize
from pep_tf.training.ticket import Ticket


class Pruning:
    """The tables of a model on their way to budgets.

    Args:
        model: a built model.
        budgets: see `resolve_table_budgets`.
        reporter: receives what is to be said.
        folder: keeps the tickets as they are cut, if there is one.
        facts: of the tickets.
        dtype: how numbers will be stored, for budgets in bytes.

    Attributes:
        tables: those that are pruned, by key.
        main: key of the largest, whose thresholds are reported.
        budgets: all of them, those that keep most first.
        pending: those not reached so far.
        tickets: those cut so far, the one that keeps most first.
        history: one dict per count: step, nnz, and the mean threshold of the largest table.
        initial: weights that the tickets start from, by name (see `snapshot`).

    Raises:
        ModelError: a model without a table to prune, or one that cannot be made anew for a ticket.
        RunError: budgets that cannot be read or name no table.
    """

    def __init__(
        self,
        model: keras.Model,
        budgets: Any,
        reporter: Reporter,
        folder: PruneFolder | None = None,
        facts: dict[str, Any] | None = None,
        dtype: StoredAs = "float32",
    ) -> None:
        self._model, self._reporter, self.folder = model, reporter, folder
        self.tables = pruned_tables(model)
        entries = entries_of(self.tables)
        self.main = max(entries, key=lambda key: entries[key])
        self._storage = StoredSize.of_model(model, list(self.tables), dtype)
        self.budgets = resolve_table_budgets(budgets, entries, self._storage)
        check_tickets(model, self.tables)
        self.pending, self.tickets = list(self.budgets), list[Ticket]()
        self.history: list[dict[str, float]] = []
        self.initial: Mapping[str, np.ndarray] = {}
        self._facts = facts or {}
        self._counts = {name: Nonzeros(layer) for name, layer in self.tables.items()}

    def whole(self) -> dict[str, Any]:
        """The tables of which no budget leaves anything out."""
        by_table = [budget for budget in self.budgets if isinstance(budget, dict)]
        entries = entries_of(self.tables)
        return {
            key: layer
            for key, layer in self.tables.items()
            if by_table and all(budget[key] == entries[key] for budget in by_table)
        }

    def pruned(self) -> dict[str, Any]:
        """The tables of which a budget leaves something out."""
        whole = self.whole()
        return {key: layer for key, layer in self.tables.items() if key not in whole}

    def look_ahead(self, optimizer: Any, step: int, given: bool = False) -> None:
        """Begins to judge from here whether budgets will be reached; `given` if it was said before."""
        self._optimizer = optimizer
        self._forecast = Forecast(self.pruned(), optimizer, self._counted(), step)
        self._forecast.given = given

    @property
    def warned(self) -> bool:
        """Whether the warning was given that thresholds will not reach the budgets."""
        return self._forecast.given

    def count(self, step: int, advice: str) -> Mapping[str, Seen]:
        """Looks at the tables, and cuts the tickets whose budget is reached.

        Args:
            step: the number of steps done.
            advice: what to lower for cuts nearer their budgets.

        Returns:
            What was found in each table.
        """
        seen = self._counted()
        for name, one in seen.items():
            if not (np.isfinite(one.table).all() and np.isfinite(one.thresholds).all()):
                raise DivergedError(
                    f"The table {name!r} must hold finite numbers. Received: NaN or infinity after {step:,} "
                    "updates: training has diverged. Look for such numbers in the data, or lower the "
                    "learning rate."
                )
        nnz = {name: one.nnz for name, one in seen.items()}
        threshold = float(np.mean(seen[self.main].thresholds))
        self.history.append({"step": step, "nnz": sum(nnz.values()), "threshold": threshold})
        reached = [budget for budget in self.pending if is_reached(budget, nnz)]
        if warning := passed_by_far(reached, nnz, step, advice):
            self._reporter.note(warning)
        self.cut(reached, step, forced=False)
        return seen

    def cut(
        self,
        budgets: list[Budget],
        step: int,
        forced: bool,
        scores: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Cuts a ticket for each of the budgets from the model as it stands; see `EntryScores` for `scores`."""
        if not budgets:
            return
        how = (step, forced, self._facts, scores, self._storage)
        cut = cut_tickets(self._model, self.initial, budgets, *how)
        for budget, ticket in zip(budgets, cut, strict=True):
            if self.folder is not None:
                self.folder.save(ticket, self.budgets)
            self._add(budget, ticket)

    def take_up(self, budget: Budget, ticket: Ticket) -> None:
        """Takes a ticket that was cut before for one of the budgets."""
        ticket.blueprint.build_fn = build_fn_of(self._model)
        self._add(budget, ticket)

    def _add(self, budget: Budget, ticket: Ticket) -> None:
        self.pending.remove(budget)
        self.tickets.append(ticket)
        self.tickets.sort(key=lambda ticket: -ticket.budget)

    def finish(self, step: int) -> None:
        """Cuts the tickets whose budget was not reached, with a note about each."""
        for budget in self.pending:
            self._reporter.note(
                f"Thresholds alone did not reach {described(budget)}: cut there by |V| - g(s)."
            )
        self.cut(list(self.pending), step, forced=True)

    def look_on(self, step: int, steps: int, advice: str) -> None:
        """Warns, once, if thresholds will not reach the budgets within `steps`."""
        forecast = self._forecast.at(self._counted(), step, steps, self.pending)
        if forecast is not None:
            self._reporter.note(f"{forecast} {advice}")

    def _counted(self) -> dict[str, Seen]:
        return {name: count() for name, count in self._counts.items()}
