"""The schedule of the thresholds that `threshold_init="auto"` takes."""

import math

import numpy as np
import pytest

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


def test_more_steps_never_start_higher_nor_climb_faster():
    both = [threshold_schedule(steps, 1e-3, 0.04) for steps in np.logspace(1, 6, 30)]
    starts, rates = zip(*both, strict=True)
    assert list(starts) == sorted(starts, reverse=True)
    assert list(rates) == sorted(rates, reverse=True)
