"""The score of a trial: its curve of tickets, cut but not retrained, as one number."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from pep_tf.errors import RunError
from pep_tf.experiments.search_record import Point
from pep_tf.training import resolve_budgets
from pep_tf.training.budgets import Budget

AREA = "area"
_AT = "auc@"


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a search maximises; 0.5 is chance and 1 is perfect, as in an AUC.

    Attributes:
        name: `"area"`, or `"auc@<budget>"` as it was asked for.
        budgets: entries to keep, in falling order.
        weights: of the AUC at each budget; they sum to 1.
    """

    name: str
    budgets: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def parse(cls, name: str, budgets: Sequence[Budget], entries: int) -> Self:
        """Reads an objective.

        Args:
            name: `"area"`: the area under validation AUC against the logarithm of the entries kept,
                between the smallest and the largest budget, by trapezoids, divided by the width;
                `"auc@0.05"`: the AUC at that budget alone.
            budgets: counts, or fractions of the default table (see `resolve_budgets`).
            entries: N x d of the default table.

        Raises:
            RunError: a budget of zero entries or of more than the table, an objective that cannot
                be read, or one for a budget that is not among `budgets`.

        Example:
            >>> Objective.parse("area", [100, 10, 1], 1000).weights
            (0.25, 0.5, 0.25)
        """
        counts = resolve_budgets(budgets, entries)
        if name == AREA:
            return cls(name, tuple(counts), tuple(_trapezoids(counts)))
        if not name.startswith(_AT):
            raise RunError(f"`objective` must be 'area' or such as 'auc@0.05'. Received: {name!r}")
        [wanted] = resolve_budgets([name.removeprefix(_AT)], entries)
        if wanted not in counts:
            raise RunError(
                f"`objective` {name} asks for {wanted:,} entries, which is none of the budgets "
                f"{', '.join(map(str, budgets))}. Add it to them, or choose one of them."
            )
        return cls(name, tuple(counts), tuple(float(count == wanted) for count in counts))

    def score(self, curve: Sequence[Point]) -> float:
        """The weighted mean of a curve that has one point per budget.

        The AUC at a budget is that of the trial's best ticket of at most this size: a large ticket may
        have been cut so early that a smaller one is better.
        """
        best = 0.0
        within = {}
        for point in sorted(curve, key=lambda point: point.budget):
            within[point.budget] = best = max(best, point.validation_auc)
        return sum(w * within[b] for b, w in zip(self.budgets, self.weights, strict=True))


def _trapezoids(counts: Sequence[int]) -> list[float]:
    """Weights of the trapezoid rule over log(counts), counts falling, for an interval of width 1."""
    if len(counts) == 1:
        return [1.0]
    gaps = np.diff(np.log(counts))
    return (np.convolve(gaps, [0.5, 0.5]) / gaps.sum()).tolist()


def pareto(points: Sequence[tuple[str, Point]]) -> list[tuple[str, Point]]:
    """The points that no other beats by fewer parameters and at least the AUC, or the reverse.

    Args:
        points: of all trials, earlier trials first; of equal points the first stays.

    Returns:
        In falling order of the parameters.
    """
    front: list[tuple[str, Point]] = []
    for trial, point in sorted(points, key=lambda p: (p[1].parameters, -p[1].validation_auc)):
        if not front or point.validation_auc > front[-1][1].validation_auc:
            front.append((trial, point))
    return front[::-1]
