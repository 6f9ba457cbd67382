import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pep_tf.errors import RunError
from pep_tf.experiments.search_record import Point
from pep_tf.tuning.score import Objective, pareto


def curve(*aucs, budgets=(100, 10, 1)):
    return [Point(b, b + 7, auc, b) for b, auc in zip(budgets, aucs, strict=True)]


def test_the_area_by_hand():
    """Budgets a decade apart: the middle one has half the width, the ends a quarter each."""
    area = Objective.parse("area", ["10%", 10, 1], 1000)
    assert area.budgets == (100, 10, 1)
    assert area.weights == pytest.approx((0.25, 0.5, 0.25))
    assert area.score(curve(0.9, 0.8, 0.6)) == pytest.approx(0.25 * 0.9 + 0.5 * 0.8 + 0.25 * 0.6)


def test_the_area_of_uneven_budgets():
    area = Objective.parse("area", [1000, 100, 1], 1000)
    expected = (1 * (0.9 + 0.8) / 2 + 2 * (0.8 + 0.5) / 2) / 3  # widths of 1 and 2 decades
    assert area.score(curve(0.9, 0.8, 0.5, budgets=(1000, 100, 1))) == pytest.approx(expected)


def test_at_one_budget():
    at = Objective.parse("auc@0.01", ["10%", "1%", 1], 1000)
    assert at.score(curve(0.9, 0.8, 0.6)) == 0.8
    assert Objective.parse("area", [5], 1000).weights == (1.0,)


def test_within_a_budget_the_best_ticket_counts():
    area = Objective.parse("area", [100, 10, 1], 1000)
    assert area.score(curve(0.5, 0.8, 0.6)) == area.score(curve(0.8, 0.8, 0.6))


@given(
    st.sets(st.integers(1, 10**6), min_size=1, max_size=6),
    st.floats(0.5, 1),
)
def test_it_reads_as_an_auc(budgets, auc):
    area = Objective.parse("area", sorted(budgets), 10**6)
    assert math.fsum(area.weights) == pytest.approx(1)
    flat = [Point(b, b, auc, b) for b in area.budgets]
    assert area.score(flat) == pytest.approx(auc)


@pytest.mark.parametrize(
    ("name", "budgets", "message"),
    [
        ("area", [1001], "at most all of the table's 1,000 entries. Received: 1001"),
        ("area", ["5%", 0], "at least one of the table's 1,000 entries. Received: 0"),
        ("area", [0.0001], "at least one of the table's 1,000 entries"),
        ("area", [], "at least one budget"),
        ("area", ["many"], "Received: 'many'"),
        ("loss", [5], "`objective` must be 'area' or such as 'auc@0.05'. Received: 'loss'"),
        ("auc@0.05", ["10%", "1%"], "auc@0.05 asks for 50 entries, which is none of .* 10%, 1%"),
        ("auc@often", ["10%"], "Received: 'often'"),
    ],
)
def test_bad_input(name, budgets, message):
    with pytest.raises(RunError, match=message):
        Objective.parse(name, budgets, 1000)


def test_the_front_by_hand():
    one, other = curve(0.9, 0.7, 0.6), curve(0.85, 0.8, 0.6)
    found = pareto([("0", p) for p in one] + [("1", p) for p in other])
    assert [(trial, p.budget) for trial, p in found] == [("0", 100), ("1", 10), ("0", 1)]


def test_a_larger_ticket_that_is_no_better_is_not_on_the_front():
    found = pareto([("0", p) for p in curve(0.8, 0.8, 0.6)])
    assert [p.budget for _, p in found] == [10, 1]


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1)), min_size=1, max_size=12))
def test_no_point_of_the_front_is_beaten_and_every_other_is(pairs):
    points = [(str(i), Point(n, n, auc, n)) for i, (n, auc) in enumerate(pairs)]
    front = pareto(points)

    def beaten(p, q):
        return q.parameters <= p.parameters and q.validation_auc >= p.validation_auc

    for place in points:
        others = [q for _, q in front if q is not place[1]]
        assert (place in front) != any(beaten(place[1], q) for q in others)
