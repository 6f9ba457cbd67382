"""Whether thresholds will reach the budgets, judged from how they have moved so far."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.layers import PEPEmbedding
from pep_tf.optimizers import CoupledAdam
from pep_tf.training.budgets import ByteBudget, is_reached, total
from pep_tf.training.nonzeros import Seen
from pep_tf.training.pruned_tables import Budget
from pep_tf.training.threshold_plan import mean_rate


class Forecast:
    """Warns, once, about budgets that the thresholds will not reach by themselves.

    Args:
        tables: by key.
        optimizer: that trains them.
        seen: a look at each of them, see `Nonzeros`.
        step: at which it was taken.

    Attributes:
        given: whether it was said.
    """

    def __init__(
        self,
        tables: Mapping[str, PEPEmbedding],
        optimizer: Any,
        seen: Mapping[str, Seen],
        step: int,
    ) -> None:
        self._tables, self._optimizer = tables, optimizer
        self._step, self._thresholds = step, _means(seen)
        self.given = False

    def at(
        self, seen: Mapping[str, Seen], step: int, steps: int, pending: Sequence[Budget]
    ) -> str | None:
        """What is to be expected of the budgets that are not reached; None if nothing has to be said.

        Goes by how the thresholds have moved since it was asked last, and takes it that weights stay.

        Args:
            seen: another look at each table.
            step: at which it was taken, counted from the beginning of the pruning.
            steps: those that there will be.
            pending: budgets that are not reached, the one that keeps least last.
        """
        first, now, before = self._step, _means(seen), self._thresholds
        self._step, self._thresholds = step, now
        if self.given or not pending or step <= first or steps <= step:
            return None
        rise = {
            name: self._rise(layer, before[name], now[name], (first, step, steps))
            for name, layer in self._tables.items()
        }
        expected = self._entries_left(seen, rise)
        if is_reached(pending[-1], expected):
            return None
        self.given = True
        missed = [described(budget) for budget in pending if not is_reached(budget, expected)]
        largest = max(rise, key=lambda name: self._tables[name].input_dim)
        return (
            f"The thresholds, now {now[largest]:.2f}, move by {rise[largest]:+.2f} in the "
            f"{steps - step:,} steps left, which leaves about {sum(expected.values()):,} entries: "
            f"{', '.join(missed)} will be cut by |V| - g(s) at the end."
        )

    def _rise(
        self, layer: PEPEmbedding, before: float, now: float, at: tuple[int, int, int]
    ) -> float:
        """By how much thresholds will rise that came from `before` to `now`: `at` the steps then, now
        and at the end.

        As far at each step as so far, in proportion to the learning rate, which may follow a schedule.
        Under SGD the step is also proportional to what is left of the way to the target, and to the
        momentum that has gathered.
        """
        optimizer, (first, step, steps) = self._optimizer, at
        behind = self._share(layer, first, step, step)
        ahead = self._share(layer, step, steps, step)
        if not isinstance(optimizer, keras.optimizers.SGD):
            return (now - before) * ahead / behind if behind else 0.0
        momentum = float(optimizer.get_config().get("momentum") or 0.0)
        behind *= _gathered(momentum, first, step)
        ahead *= _gathered(momentum, step, steps)
        way = layer.pull.target - now
        if not (before < now and way > 0 and behind):
            return (now - before) * ahead / behind if behind else 0.0
        return way * -math.expm1(-math.log1p((now - before) / way) * ahead / behind)

    def _share(self, layer: PEPEmbedding, first: int, last: int, now: int) -> float:
        """Sum of the learning rates of some steps, up to a factor that is the same for all."""
        optimizer, steps = self._optimizer, last - first
        if isinstance(optimizer, CoupledAdam) and optimizer.has_threshold_rate(layer.pull):
            return steps
        try:
            return steps * mean_rate(optimizer, first - now, steps)
        except RunError:  # the optimizer has no learning rate
            return steps

    def _entries_left(self, seen: Mapping[str, Seen], rise: Mapping[str, float]) -> dict[str, int]:
        """Non-zeros of each table if its thresholds rise by `rise` and its weights stay."""
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
    """The warning for a ticket that is cut with many more entries than thresholds have left.

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
    if isinstance(budget, ByteBudget):
        return budget._replace(entries=budget.entries // 10)
    if isinstance(budget, int):
        return budget // 10
    return {name: count // 10 for name, count in budget.items()}


def _gathered(momentum: float, first: int, last: int) -> float:
    """Mean of `1 - momentum**t` over the steps t from `first` + 1 to `last`."""
    if not 0 < momentum < 1:
        return 1.0
    lost = momentum * (momentum**first - momentum**last) / (1 - momentum)
    return 1 - lost / (last - first)


def described(budget: Budget) -> str:
    """A budget in words."""
    if isinstance(budget, ByteBudget):
        return f"{budget.bytes:,} bytes"
    if isinstance(budget, int):
        return f"{total(budget):,} entries"
    return " and ".join(f"{count:,} of {name}" for name, count in budget.items())


def _means(seen: Mapping[str, Seen]) -> dict[str, float]:
    return {name: float(np.mean(one.thresholds)) for name, one in seen.items()}
