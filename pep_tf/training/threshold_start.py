"""Where thresholds start and how fast they climb, so that the steps that there are suffice to prune."""

import math

_NEGLIGIBLE = 0.02  # of the table's initial scale: a gate that prunes nothing yet
_CLIMB = 0.6  # share of the steps in which the thresholds climb to the middle of the gate


def threshold_schedule(steps: int, learning_rate: float, table_limit: float) -> tuple[float, float]:
    """s0 and the thresholds' learning rate for a run of `steps`.

    A threshold climbs by about one learning rate a step, so it gets from s0 to 0, where g(s) = 0.5,
    in `-s0 / learning_rate` steps; that should take 60 % of the steps. The gate at s0 is at most 2 %
    of the limit of the table's initial values, so that training starts with the whole table: where
    the steps are too few to come from there, the rate is raised.

    Args:
        steps: steps that pruning may take.
        learning_rate: the least that the thresholds should have.
        table_limit: largest |V0|.

    Returns:
        s0, for a sigmoid gate, and the learning rate.

    Example:
        >>> threshold_schedule(20_000, 1e-3, 0.04)
        (-12.0, 0.001)
    """
    highest = -math.log(1 / (_NEGLIGIBLE * table_limit) - 1)
    start = min(highest, -_CLIMB * steps * learning_rate)
    return start, max(learning_rate, -start / (_CLIMB * steps))
