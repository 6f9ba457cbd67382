import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.clicklogs.formats import AVAZU, CRITEO, Format, default_features
from pep_tf.data.clicklogs.parse import Parser
from pep_tf.data.clicklogs.strict import LineRule
from tests.data.clicklogs.rows_for_tests import avazu_lines, criteo_lines

PARSERS = {f.name: Parser(f, default_features(f)) for f in (CRITEO, AVAZU)}
GOOD = {"criteo": criteo_lines(3), "avazu": avazu_lines(3)}


def change(line: bytes, column: int, token: bytes, delimiter: bytes = b"\t") -> bytes:
    tokens = line.split(delimiter)
    tokens[column] = token
    return delimiter.join(tokens)


C = GOOD["criteo"][0]
A = GOOD["avazu"][0]
BAD_CRITEO = {
    "columns": (C + b"\t", "41 columns, criteo has 40"),
    "few columns": (b"1\t2", "2 columns, criteo has 40"),
    "number": (
        change(C, 3, b"1.5"),
        "field 'I3' must be an integer of at most 15 digits (5.0 is 5), not '1.5'",
    ),
    "label": (change(C, 0, b"2"), "label 'label' must be 0 or 1, not '2'"),
    "no label": (change(C, 0, b""), "label"),
    "return": (C + b"\r", "CRLF"),
    "mark": (b"\xef\xbb\xbf" + C, "byte order mark"),
    "quote": (change(C, 20, b'"a"'), "quote"),
    "nul": (change(C, 20, b"a\0"), "NUL"),
    "empty": (b"", "empty line"),
    "long line": (change(C, 20, b"a" * 10_000_000), "line of 10000"),
    "long token": (change(C, 20, b"a" * 33), "field 'C7' must have at most 32 bytes, not 33"),
    "header": (CRITEO.header_line, "label"),
    "hexadecimal": (change(C, 1, b"0x1f"), "I1"),
    "exponent": (change(C, 1, b"1e3"), "'I1' must be an integer"),
    "sign": (change(C, 1, b"+5"), "'I1' must be an integer"),
    "blank": (change(C, 1, b" 5"), "'I1' must be an integer"),
    "not a number": (change(C, 1, b"nan"), "'I1' must be an integer"),
    "no digit": (change(C, 1, b".0"), "'I1' must be an integer"),
    "two points": (change(C, 1, b"5.0.0"), "'I1' must be an integer"),
    "16 digits": (change(C, 1, b"1234567890123456.0"), "'I1' must be an integer"),
    "16 zeros": (change(C, 1, b"5." + b"0" * 16), "'I1' must be an integer"),
}


@pytest.mark.parametrize("name", BAD_CRITEO)
def test_bad_lines_are_named_and_the_others_kept(name: str):
    line, reason = BAD_CRITEO[name]
    first, second, third = GOOD["criteo"]
    block = PARSERS["criteo"].parse_block(b"\n".join([first, line, second, third]), 11)
    assert [b.line for b in block.bad] == [12]
    assert reason in block.bad[0].reason
    assert block.lines.tolist() == [11, 13, 14]
    clean = PARSERS["criteo"].parse_block(b"\n".join([first, second, third]), 1)
    np.testing.assert_array_equal(block.keys, clean.keys)
    np.testing.assert_array_equal(block.labels, clean.labels)


@pytest.mark.parametrize(
    ("column", "token", "reason"),
    [
        (2, b"14103024", "YYMMDDHH"),
        (2, b"14022900", "YYMMDDHH"),
        (2, b"", "YYMMDDHH"),
        (2, b"14103023.5", "YYMMDDHH"),
        (2, b"4103023.0", "YYMMDDHH"),
        (1, b"x", "label 'click'"),
        (5, b'"', "quote"),
    ],
)
def test_bad_avazu_fields(column: int, token: bytes, reason: str):
    block = PARSERS["avazu"].parse_block(change(A, column, token, b","), 2)
    assert [b.line for b in block.bad] == [2]
    assert reason in block.bad[0].reason
    assert len(block.lines) == 0


TOKEN = st.one_of(
    st.sampled_from(
        [
            b"",
            b"0",
            b"1",
            b"-1",
            b"2",
            b"-",
            b"14103023",
            b"14103099",
            b"\r",
            b'"',
            b"\t",
            b",",
            b"\n",
        ]
    ),
    st.binary(max_size=12),
    st.integers(-(10**17), 10**17).map(lambda v: str(v).encode()),
    st.builds(
        lambda number, zeros: b"%d.%b" % (number, b"0" * zeros),
        st.one_of(st.integers(-9, 9), st.integers(-(10**17), 10**17), st.just(14103023)),
        st.integers(0, 17),
    ),
)


def pointed(line: bytes, delimiter: bytes, columns: range | list[int], zeros: bytes) -> bytes:
    """A line whose numbers got a point, as pandas writes a column that has gaps."""
    tokens = line.split(delimiter)
    return delimiter.join(t + zeros if i in columns and t else t for i, t in enumerate(tokens))


@pytest.mark.parametrize("zeros", [b".", b".0", b".000000000000000"])
def test_numbers_with_a_point_are_the_same_rows(zeros: bytes):
    """A round trip through pandas leaves every key of a file as it was."""
    numbers = b"1,0,15706,320,50,1722,0,35,-1,79".split(b",")
    rows = [line.split(b",") for line in GOOD["avazu"]]
    avazu = [b",".join([*row[:3], b"1005", b"0", *row[5:14], *numbers]) for row in rows]
    for name, lines, columns in (
        ("criteo", GOOD["criteo"], range(1, 14)),
        ("avazu", avazu, [2, 3, 4, *range(14, 24)]),
    ):
        parser, delimiter = PARSERS[name], {"criteo": b"\t", "avazu": b","}[name]
        plain = parser.parse_block(b"\n".join(lines), 1)
        written = [pointed(line, delimiter, columns, zeros) for line in lines]
        found = parser.parse_block(b"\n".join(written), 1)
        assert not found.bad
        np.testing.assert_array_equal(found.keys, plain.keys)
        np.testing.assert_array_equal(found.labels, plain.labels)


def test_a_point_in_a_category_that_is_no_number_stays():
    keys = [
        PARSERS["avazu"].parse_block(change(A, 3, token, b","), 1).keys[0, 1]
        for token in (b"1005", b"1005.0", b"1005.5", b"x.0", b".0", b"", b"1005.0.0")
    ]
    assert keys[0] == keys[1]
    assert len(set(keys[1:])) == 6
    other = [PARSERS["criteo"].parse_block(change(C, 20, t), 1).keys for t in (b"5", b"5.0")]
    assert (other[0] != other[1]).sum() == 1


@pytest.mark.parametrize("fmt", [CRITEO, AVAZU], ids=lambda f: f.name)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_fuzz_the_block_parser_against_the_line_rule(fmt: Format, data: st.DataObject):
    """Whatever the bytes: the array code and the regular expression agree, and lines add up."""
    edits = st.tuples(st.integers(0, 2), st.integers(0, len(fmt.columns) - 1), TOKEN)
    lines = list(GOOD[fmt.name])
    for which, column, token in data.draw(st.lists(edits, max_size=3)):
        tokens = lines[which].split(fmt.delimiter)
        tokens[column % len(tokens)] = token
        lines[which] = fmt.delimiter.join(tokens)
    text = b"\n".join([*lines, data.draw(st.binary(max_size=5))])
    check_against_rule(fmt, text)


@pytest.mark.parametrize("fmt", [CRITEO, AVAZU], ids=lambda f: f.name)
@settings(deadline=None)
@given(text=st.binary(max_size=200))
def test_fuzz_any_bytes(fmt: Format, text: bytes):
    check_against_rule(fmt, text)


def check_against_rule(fmt: Format, text: bytes) -> None:
    if not text:
        return
    rule = LineRule(fmt)
    lines = text.removesuffix(b"\n").split(b"\n")
    good = [i for i, line in enumerate(lines, start=1) if rule.fault(line) is None]
    block = PARSERS[fmt.name].parse_block(text, 1)
    assert block.lines.tolist() == good
    assert len(lines) == len(block.lines) + len(block.bad)
    labels = [int(lines[i - 1].split(fmt.delimiter)[fmt.columns.index(fmt.label)]) for i in good]
    assert block.labels.tolist() == labels
    assert block.keys.shape == (len(good), len(default_features(fmt)))
