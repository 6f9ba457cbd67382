import contextlib
import fractions

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pep_tf.errors import DataError, NumberError, RunError
from pep_tf.numbers import INT32_MAX, read_number, real, split_list, whole, wholes


@pytest.mark.parametrize(
    ("text", "value", "form"),
    [
        ("5000", 5000, "count"),
        (" 5,000 ", 5000, "count"),
        ("1,234,567", 1234567, "count"),
        ("5_000", 5000, "count"),
        ("1e3", 1000, "count"),
        ("1.5e3", 1500, "count"),
        ("2^20", 2**20, "count"),
        ("2**20", 2**20, "count"),
        ("-7", -7, "count"),
        ("0.1", "1/10", "fraction"),
        (".5", "1/2", "fraction"),
        ("1.0", 1, "fraction"),
        ("1e-3", "1/1000", "fraction"),
        ("1/8", "1/8", "fraction"),
        ("10%", "1/10", "percent"),
        ("0.5 %", "1/200", "percent"),
        ("1,000%", 10, "percent"),
        (7, 7, "count"),
        (np.int64(7), 7, "count"),
        (0.1, "1/10", "fraction"),
        (np.float32(0.1), "1/10", "fraction"),
        (64.0, 64, "fraction"),
        (1e16, 10**16, "count"),
    ],
)
def test_reading(text, value, form):
    number = read_number(text)
    assert (number.value, number.form) == (fractions.Fraction(value), form)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "ten",
            "%",
            ".",
            "e3",
            "1e",
            "5x",
            "5 000",
            "50,00",
            "5,00",
            ",500",
            "5,",
            "1,0000",
        ),
        *(
            "5__0",
            "_5",
            "0x10",
            "1e999999999",
            "9^999999",
            "1/0",
            "nan",
            "inf",
            "--1",
            "1.2.3",
            "٣",
        ),
        *(None, True, np.True_, float("nan"), float("inf"), [5], b"5", "1" * 5000),
    ],
    ids=repr,
)
def test_what_is_no_number(value):
    assert read_number(value) is None
    with pytest.raises(NumberError, match=r"`rows` must be a whole number, written like 5000"):
        whole("rows", value)
    with pytest.raises(NumberError, match=r"`l2` must be a number, written like 0.001"):
        real("l2", value)


@given(st.integers(-(10**18), 10**18))
def test_every_way_to_write_a_whole_number(value):
    for text in (str(value), f"{value:,}", f"{value:_}", f"{value}e0"):
        assert whole("x", text, most=10**18) == value


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_every_float(value):
    assert real("x", value) == real("x", repr(value)) == value


@given(st.text("0123456789.,_eE+-%^*/ ", max_size=12))
def test_text_is_read_or_refused_and_nothing_else(text):
    number = read_number(text)
    assert number is None or abs(number.value) <= 10**430
    with contextlib.suppress(NumberError):
        assert whole("x", text) <= INT32_MAX


def test_bounds():
    assert whole("rows", "10", least=10) == 10
    with pytest.raises(NumberError, match=r"^`rows` must be at least 10. Received: 9$"):
        whole("rows", 9, least=10)
    with pytest.raises(
        NumberError, match=r"^`rows` must be at most 2,147,483,647. Received: 1e10$"
    ):
        whole("rows", "1e10")
    with pytest.raises(NumberError, match=r"`dropout` must be at most 1. Received: 101%"):
        real("dropout", "101%", least=0, most=1)
    for value in (1.5, "1.5", "10%"):
        with pytest.raises(NumberError, match="whole number"):
            whole("rows", value)
    assert real("dropout", "20%") == 0.2


def test_an_error_is_one_of_data_and_of_runs():
    assert issubclass(NumberError, DataError)
    assert issubclass(NumberError, RunError)


def test_lists():
    assert wholes("widths", ["400", 4e2, np.int32(5)]) == (400, 400, 5)
    assert wholes("widths", np.array([4, 8])) == (4, 8)
    for no_list in ("100", 100, None, {"100": 1}):
        with pytest.raises(NumberError, match=r"`widths` must be a list such as \(100, 100\)"):
            wholes("widths", no_list)
    with pytest.raises(NumberError, match="`widths` must be whole numbers such as 100,100"):
        wholes("widths", ["100", "wide"])
    with pytest.raises(NumberError, match="`widths` must be at least 1. Received: 0"):
        wholes("widths", [4, 0], least=1)


@pytest.mark.parametrize("text", ["5,000", "20%,5,000", "1,024,512", "5,000,000"])
@pytest.mark.parametrize("counts", [True, False])
def test_a_comma_before_three_digits_that_begin_with_zero_stands_between_thousands(text, counts):
    with pytest.raises(NumberError, match=r"is a list, whose items a comma separates: write \d+,0"):
        split_list("budgets", text, counts=counts)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("20%,1000", ["20%", "1000"]),
        ("400,400,400", ["400", "400", "400"]),
        ("1000,500,200", ["1000", "500", "200"]),
        ("264, 256", ["264", "256"]),
        ("5_000", ["5_000"]),
        (" 20% ,, 5 ", ["20%", "5"]),
        ("", []),
    ],
)
def test_items(text, items):
    assert split_list("budgets", text) == items


def test_counts_that_may_be_one_number_or_two():
    with pytest.raises(
        NumberError,
        match=r"write 264,256 as 264_256 if it is one number, and as `264, 256` if it is two",
    ):
        split_list("budgets", "264,256", counts=True)
    assert split_list("budgets", "264, 256", counts=True) == ["264", "256"]
    assert split_list("budgets", "1000,500,200", counts=True) == ["1000", "500", "200"]
    assert split_list("seeds", "100,200") == ["100", "200"]
