"""When a trial is given up half way."""

from collections.abc import Sequence

import numpy as np

HALF = 0.5  # share of the pruning after which trials are compared
_OTHERS = 4  # trials to compare with, at least
_QUARTER = 0.25


def is_hopeless(score: float, others: Sequence[float]) -> bool:
    """Whether a trial is to be given up half way through its pruning.

    Half way the tickets of each trial are cut and scored. A trial is given up if at least four others
    have got that far and its score is below the lowest quarter of theirs. That score is its result.

    Args:
        score: of the trial, half way.
        others: scores of the other trials, half way.

    Example:
        >>> is_hopeless(0.60, [0.70, 0.71, 0.72, 0.73]), is_hopeless(0.60, [0.70, 0.71, 0.72])
        (True, False)
    """
    if len(others) < _OTHERS:
        return False
    return bool(score < np.quantile(others, _QUARTER, method="lower"))
