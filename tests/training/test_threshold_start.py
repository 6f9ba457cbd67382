"""The schedule of the thresholds that `threshold_init="auto"` takes."""

import math

import numpy as np
import pytest

from pep_tf.errors import RunError
from pep_tf.training.threshold_start import threshold_schedule


def sigmoid(s):
    return 1 / (1 + math.exp(-s))


@pytest.mark.parametrize(
    ("steps", "rate", "expected"),
    [(20_000, 1e-3, -12.0), (1_000_000, 1e-3, -600), (2_000, 0.01, -12)],
)
def test_long_runs_reach_the_middle_of_the_gate_after_three_fifths(steps, rate, expected):
    assert threshold_schedule(steps, rate, 0.04) == pytest.approx((expected, rate))


@pytest.mark.parametrize("limit", [0.01, 0.04, 1.0])
def test_short_runs_start_with_the_whole_table_and_climb_faster(limit):
    start, rate = threshold_schedule(10, 1e-3, limit)
    assert sigmoid(start) == pytest.approx(0.02 * limit)
    assert start + 6 * rate == pytest.approx(0)


@pytest.mark.parametrize("limit", [30.0, 50.0, 1e6])
def test_no_gate_is_too_high_for_a_table_of_large_values(limit):
    assert threshold_schedule(1_000, 1e-3, limit) == pytest.approx((-0.6, 1e-3))


def test_a_table_of_tiny_values_starts_far_below_it():
    start, rate = threshold_schedule(10, 1e-3, 1e-300)
    assert start == pytest.approx(math.log(0.02) - 300 * math.log(10))
    assert start + 6 * rate == pytest.approx(0)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"table_limit": 0.0}, "table_limit"),
        ({"table_limit": -1.0}, "table_limit"),
        ({"table_limit": math.nan}, "table_limit"),
        ({"table_limit": math.inf}, "table_limit"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": -1e-3}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
    ],
)
def test_what_has_no_schedule_is_refused_by_name(changes, name):
    good = {"steps": 1_000, "learning_rate": 1e-3, "table_limit": 0.04}
    with pytest.raises(RunError, match=f"`{name}` has no threshold schedule. Received"):
        threshold_schedule(**{**good, **changes})


def test_more_steps_never_start_higher_nor_climb_faster():
    both = [threshold_schedule(steps, 1e-3, 0.04) for steps in np.logspace(1, 6, 30)]
    starts, rates = zip(*both, strict=True)
    assert list(starts) == sorted(starts, reverse=True)
    assert list(rates) == sorted(rates, reverse=True)
