"""Whether thresholds will get as far as the budgets ask, judged from how they have moved so far."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from pep_tf.layers import PEPEmbedding
from pep_tf.training.budgets import is_reached, total
from pep_tf.training.nonzeros import Seen
from pep_tf.training.pruned_tables import Budget


class Forecast:
    """Says, once, which budgets the thresholds will not reach by themselves.

    Args:
        tables: by key.
        seen: a look at each of them, see `Nonzeros`.
        step: at which it was taken.
    """

    def __init__(
        self, tables: Mapping[str, PEPEmbedding], seen: Mapping[str, Seen], step: int
    ) -> None:
        self._tables, self._step, self._thresholds = tables, step, _means(seen)
        self.given = False

    def at(
        self, seen: Mapping[str, Seen], step: int, steps: int, pending: Sequence[Budget]
    ) -> str | None:
        """What is to be expected of the budgets that are not reached; None if nothing has to be said.

        Goes by the pace of the thresholds since it was asked last, and takes it that weights stay.

        Args:
            seen: another look at each table.
            step: at which it was taken.
            steps: those that there will be.
            pending: budgets that are not reached, the one that keeps least last.
        """
        done, now, before = step - self._step, _means(seen), self._thresholds
        self._step, self._thresholds = step, now
        left = steps - step
        if self.given or not pending or done <= 0 or left <= 0:
            return None
        rise = {name: (now[name] - before[name]) / done * left for name in now}
        expected = self._entries_left(seen, rise)
        if is_reached(pending[-1], expected):
            return None
        self.given = True
        missed = [described(budget) for budget in pending if not is_reached(budget, expected)]
        largest = max(rise, key=lambda name: self._tables[name].input_dim)
        return (
            f"The thresholds, now {now[largest]:.2f}, move by {rise[largest]:+.2f} in the {left:,} "
            f"steps left, which leaves about {sum(expected.values()):,} entries: "
            f"{', '.join(missed)} will be cut by |V| - g(s) at the end."
        )

    def _entries_left(self, seen: Mapping[str, Seen], rise: Mapping[str, float]) -> dict[str, int]:
        """Non-zeros of each table if its thresholds rise by so much and its weights stay."""
        left = {}
        for name, layer in self._tables.items():
            table, thresholds = seen[name].table, seen[name].thresholds
            gate = layer.gate(tf.constant(thresholds + np.float32(rise[name]))).numpy()
            count = int(np.count_nonzero(np.abs(table) > gate))
            left[name] = round(count * layer.input_dim / len(table))
        return left


def passed_by_far(
    budgets: Sequence[Budget], nnz: Mapping[str, int], step: int, advice: str
) -> str | None:
    """What is to be said where a ticket is cut with many more entries than thresholds have left.

    Args:
        budgets: those that are reached.
        nnz: non-zeros of each table.
        step: at which they were counted.
        advice: what to lower for a cut nearer the budgets.

    Returns:
        None if thresholds have left more than a tenth of each budget.
    """
    far = [budget for budget in budgets if is_reached(_tenth(budget), nnz)]
    if not far:
        return None
    return (
        f"Since the last check the thresholds have passed {', '.join(map(described, far))}: at step "
        f"{step:,} they leave {sum(nnz.values()):,}. What a ticket keeps beyond them is 0 until it is "
        f"retrained. To cut nearer the budget, lower {advice}."
    )


def _tenth(budget: Budget) -> Budget:
    if isinstance(budget, int):
        return budget // 10
    return {name: count // 10 for name, count in budget.items()}


def described(budget: Budget) -> str:
    """A budget in words."""
    if isinstance(budget, int):
        return f"{total(budget):,} entries"
    return " and ".join(f"{count:,} of {name}" for name, count in budget.items())


def _means(seen: Mapping[str, Seen]) -> dict[str, float]:
    return {name: float(np.mean(look.thresholds)) for name, look in seen.items()}
