"""Where thresholds start and how fast they climb, so that they prune within the given steps."""

import math

from pep_tf.errors import RunError

_NEGLIGIBLE = 0.02  # of the table's initial scale: a gate that prunes nothing yet
CLIMB = 0.6  # share of the steps in which the thresholds climb to the middle of the gate


def threshold_schedule(steps: int, learning_rate: float, table_limit: float) -> tuple[float, float]:
    """s0 and the thresholds' learning rate for a run of `steps`.

    A threshold climbs by about one learning rate a step, so it gets from s0 to 0, where g(s) = 0.5,
    in `-s0 / learning_rate` steps; that should take 60 % of the steps. The gate at s0 is at most 2 %
    of the limit of the table's initial values, so that training starts with the whole table: where
    the steps are too few to come from there, the rate is raised.

    Args:
        steps: steps that pruning may take, at least 1.
        learning_rate: the least that the thresholds should have, 0 or more.
        table_limit: largest |V0|, above 0. From 50 on every gate is at most 2 % of it.

    Returns:
        s0, for a sigmoid gate, and the learning rate.

    Raises:
        RunError: a value out of its range: in a table of zeros no gate is small enough.

    Example:
        >>> threshold_schedule(20_000, 1e-3, 0.04)
        (-12.0, 0.001)
    """
    for name, value, good in (
        ("steps", steps, steps >= 1),
        ("learning_rate", learning_rate, 0 <= learning_rate < math.inf),
        ("table_limit", table_limit, 0 < table_limit < math.inf),
    ):
        if not good:
            raise RunError(f"`{name}` has no threshold schedule. Received: {value}")
    gate = _NEGLIGIBLE * table_limit
    highest = math.log(gate) - math.log1p(-gate) if gate < 1 else math.inf
    start = min(highest, -CLIMB * steps * learning_rate)
    return start, max(learning_rate, -start / (CLIMB * steps))
