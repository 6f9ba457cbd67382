import fractions
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pep_tf.errors import RunError
from pep_tf.training.budgets import check_budgets, resolve_budgets

ENTRIES = 4129 * 64  # 264256


@pytest.mark.parametrize(
    ("budget", "count"),
    [
        (26425, 26425),
        ("26425", 26425),
        (0.2, 52851),  # 52851.2 rounded down
        ("0.2", 52851),
        ("20%", 52851),
        (" 20 % ", 52851),
        ("0.5%", 1321),  # 1321.28
        (0.005, 1321),
        (1, 1),
        ("1", 1),
        (1.0, ENTRIES),
        ("1.0", ENTRIES),
        ("100%", ENTRIES),
        ("1%", 2642),
        (ENTRIES, ENTRIES),
        ("1e-3", 264),
        ("26,425", 26425),
        ("5_000", 5000),
        ("1e3", 1000),
        ("2^10", 1024),
        (np.int64(7), 7),
        (np.float64(0.5), ENTRIES // 2),
    ],
)
def test_reading(budget, count):
    assert resolve_budgets([budget], ENTRIES) == [count]


def test_a_fraction_is_what_its_digits_say():
    # 0.29 * 100 is 28.999999999999996 in binary floating point
    assert resolve_budgets([0.29], 100) == [29]
    assert resolve_budgets(["29%"], 100) == [29]


def test_largest_first_and_each_once():
    assert resolve_budgets([5, "10%", 0.5, 50, 10], 100) == [50, 10, 5]


@pytest.mark.parametrize(
    "budget", ["", "ten", "%", "5 0%x", "0.1.2", "nan", "inf", "1/0", None, True, float("inf")]
)
def test_unreadable(budget):
    with pytest.raises(RunError, match=r"must be a count .*a fraction .*a percentage .*Received: "):
        resolve_budgets([budget], ENTRIES)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (ENTRIES + 1, "at most all of the table's 264,256 entries. Received: 264257"),
        ("1e9", "at most all of the table's 264,256 entries. Received: 1e9"),
        (1.5, "at most 1, which is all entries. Received: 1.5"),
        ("1.5", "at most 1, which is all entries. Received: 1.5"),
        (5000.0, "at most 1, which is all entries. Received: 5000.0"),
        ("101%", "at most 100%. Received: 101%"),
        (0, "at least one of the table's 264,256 entries. Received: 0"),
        ("000", "at least one of the table's 264,256 entries. Received: 000"),
        (0.0, "at least one of the table's"),
        ("0%", "at least one of the table's"),
        ("0.0001%", "at least one of the table's"),  # 0.26 entries
        (-1, "at least one of the table's"),
        ("-5%", "at least one of the table's"),
    ],
)
def test_outside_the_table(budget, message):
    with pytest.raises(RunError, match=re.escape(message)):
        resolve_budgets([budget], ENTRIES)


@pytest.mark.parametrize("budgets", ["20%", "100", 0.1, None])
def test_what_is_no_list(budgets):
    with pytest.raises(RunError, match=re.escape("`budgets` must be a list such as ('20%', 5000)")):
        resolve_budgets(budgets, ENTRIES)


@pytest.mark.parametrize("budget", ["101%", 1.5, 0, "0%", "often", -1])
def test_what_no_table_can_be_cut_to_is_refused_before_there_is_one(budget):
    with pytest.raises(RunError, match="A budget must"):
        check_budgets(["20%", budget])
    check_budgets(["20%", 10**12, "1e-9"])


def test_more_than_a_ticket_can_hold():
    with pytest.raises(
        RunError, match="at most 2,147,483,647 entries.* 50%, 3,000,000,000 entries"
    ):
        resolve_budgets(["50%"], 6 * 10**9)
    assert resolve_budgets(["20%"], 6 * 10**9) == [1_200_000_000]


def test_none():
    with pytest.raises(RunError, match="`budgets` must name at least one budget. Received: none"):
        resolve_budgets([], ENTRIES)


@given(st.integers(10**6, 10**9), st.integers(1, 10**6))
def test_fractions_round_down_exactly(entries, millionths):
    text = f"{millionths // 10**6}.{millionths % 10**6:06d}"
    expected = int(fractions.Fraction(millionths, 10**6) * entries)
    assert resolve_budgets([text], entries) == [expected]
    assert resolve_budgets([f"{millionths / 10**4:.4f}%"], entries) == [expected]
