"""What a pruning in `fit` keeps on disk, so that a restored model is pruned on as if nothing had been."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pep_tf.errors import RunError, reading
from pep_tf.numbers import whole
from pep_tf.paths import resolve
from pep_tf.training.budgets import ByteBudget, total
from pep_tf.training.pruned_tables import Budget
from pep_tf.training.state import load_state, reading_object, save_object, save_state
from pep_tf.training.threshold_plan import ThresholdPlan
from pep_tf.training.ticket import BYTE_BUDGET, Ticket

_ANOTHER = "begin anew in another folder"


@dataclasses.dataclass
class Beginning:
    """How a pruning began.

    Attributes:
        initial: weights at the beginning.
        budgets: those to reach.
        plan: of the thresholds.
        first: the optimizer's steps before.
        steps: those that were to come.
    """

    initial: dict[str, np.ndarray]
    budgets: list[Budget]
    plan: ThresholdPlan
    first: int
    steps: int


class PruneFolder:
    """The files of a pruning: its beginning, its history, the tickets cut so far.

    Args:
        path: the folder, which need not be there.

    Attributes:
        checkpoint: file of one, where `prune` takes the steps; it then holds beginning and history.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self.path = resolve(path)
        self._start, self._progress = self.path / "start.safetensors", self.path / "progress.json"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self._cut: dict[str, int] = {}  # the step of each ticket, by the name of its file

    def begin(self, beginning: Beginning) -> None:
        """Writes the beginning of a new pruning.

        Raises:
            RunError: a folder that holds one that was finished, or that cannot be written.
        """
        if self._read_progress().get("finished"):
            raise RunError(
                f"{self.path} holds a pruning that was finished. Take its tickets by "
                "pep_tf.Ticket.load, or give another folder."
            )
        for stale in self.path.glob("ticket_*.safetensors"):  # of one that was begun and left
            stale.unlink()
        facts = {
            "budgets": beginning.budgets,
            "plan": dataclasses.asdict(beginning.plan),
            "first": beginning.first,
            "steps": beginning.steps,
        }
        self._cut = {}
        self.note([], False, False)  # before the beginning, beside which it is never missing
        save_state(self._start, beginning.initial, facts)

    def beginning(
        self, budgets: Sequence[Budget], weights: Mapping[str, np.ndarray], updates: int
    ) -> Beginning:
        """The beginning of the pruning that is to go on.

        Args:
            budgets: those to reach.
            weights: of the model by name, which the beginning must have in the same sizes.
            updates: the optimizer's steps by now.

        Raises:
            RunError: none, a damaged one, one of another model, or one with other budgets.
        """
        initial, facts = load_state(self._start, "the beginning of a pruning")
        with reading(self._start, RunError, _ANOTHER):
            found = Beginning(
                initial,
                [from_json(budget) for budget in facts["budgets"]],
                ThresholdPlan(**facts["plan"]),
                whole("first", facts["first"], least=0, most=updates),
                whole("steps", facts["steps"], least=1),
            )
        if _sizes(initial) != _sizes(weights):
            raise RunError(f"{self._start} is the beginning of another model; {_ANOTHER}.")
        if found.budgets != list(budgets):
            raise RunError(
                f"The pruning in {self.path} has the budgets {found.budgets}. Use the same ones, or "
                f"another folder. Received: {list(budgets)}"
            )
        return found

    def note(self, history: Sequence[Mapping[str, float]], warned: bool, finished: bool) -> None:
        """Writes how far the pruning has come."""
        progress = {
            "history": list(history),
            "warned": warned,
            "finished": finished,
            "cut": self._cut,
        }
        save_object(self._progress, progress)

    def progress(self, step: int) -> tuple[list[dict[str, float]], bool]:
        """The history up to a step, and whether a warning was given."""
        progress = self._read_progress()
        with reading(self._progress, RunError, _ANOTHER):
            history = [seen for seen in progress.get("history", []) if seen["step"] <= step]
        return history, bool(progress.get("warned"))

    def _read_progress(self) -> dict[str, Any]:
        if not self._progress.exists():
            if self._start.exists():
                raise RunError(f"{self._progress} is missing; {_ANOTHER}.")
            return {}
        with reading_object(self._progress, _ANOTHER) as progress:
            return progress

    def save(self, ticket: Ticket, budgets: Sequence[Budget]) -> None:
        """Keeps a ticket that was cut for one of the budgets."""
        path = self.ticket(budgets, budget_of(ticket))
        ticket.save(path)
        self._cut[path.name] = ticket.step

    def tickets(self, budgets: Sequence[Budget], step: int) -> list[tuple[Budget, Ticket]]:
        """The tickets that were cut up to a step.

        Raises:
            RunError, TicketError: a file that is missing, or damaged.
        """
        found = []
        with reading(self._progress, RunError, _ANOTHER):
            self._cut = dict(self._read_progress().get("cut", {}))
            gone = [
                n for n, cut in self._cut.items() if cut <= step and not (self.path / n).exists()
            ]
        if gone:
            raise RunError(f"{self.path / gone[0]} is missing; {_ANOTHER}.")
        for budget in budgets:
            path = self.ticket(budgets, budget)
            if path.exists() and (ticket := Ticket.load(path)).step <= step and not ticket.forced:
                found.append((budget, ticket))
        return found

    def ticket(self, budgets: Sequence[Budget], budget: Budget) -> pathlib.Path:
        """The file of a ticket, `ticket_<entries>.safetensors` or `ticket_<bytes>B.safetensors`.

        With a number where several budgets keep as many entries.
        """
        if isinstance(budget, ByteBudget):
            return self.path / f"ticket_{budget.bytes}B.safetensors"
        alike = [b for b in budgets if not isinstance(b, ByteBudget) and total(b) == total(budget)]
        number = f"_{alike.index(budget) + 1}" if len(alike) > 1 else ""
        return self.path / f"ticket_{total(budget)}{number}.safetensors"


def _sizes(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {name: np.size(array) for name, array in arrays.items()}


def budget_of(ticket: Ticket) -> Budget:
    """The budget that a ticket was cut for."""
    if byte_budget := ticket.facts.get(BYTE_BUDGET):
        return ByteBudget(*byte_budget)
    return ticket.budget if ticket.budgets is None else ticket.budgets


def from_json(budget: Any) -> Budget:
    """A budget that was written as JSON."""
    return ByteBudget(*budget) if isinstance(budget, list) else budget
