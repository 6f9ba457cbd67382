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
        "field 'I3' must be an integer of at most 15 digits, not '1.5'",
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
}


@pytest.mark.parametrize("name", BAD_CRITEO)
def test_bad_lines_are_named_and_the_others_kept(name: str):
    line, reason = BAD_CRITEO[name]
    first, second, third = GOOD["criteo"]
    block = PARSERS["criteo"].parse_block(b"\n".join([first, line, second, third]), 11)
    assert [b.line for b in block.bad] == [12]
    assert reason in block.bad[0].reason
    assert block.lines.tolist() == [11, 13, 14]
    assert block.num_lines == 4
    clean = PARSERS["criteo"].parse_block(b"\n".join([first, second, third]), 1)
    np.testing.assert_array_equal(block.keys, clean.keys)
    np.testing.assert_array_equal(block.labels, clean.labels)


@pytest.mark.parametrize(
    ("column", "token", "reason"),
    [
        (2, b"14103024", "YYMMDDHH"),
        (2, b"", "YYMMDDHH"),
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
)


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
    assert block.num_lines == len(lines) == len(block.lines) + len(block.bad)
    labels = [int(lines[i - 1].split(fmt.delimiter)[fmt.columns.index(fmt.label)]) for i in good]
    assert block.labels.tolist() == labels
    assert block.keys.shape == (len(good), len(default_features(fmt)))
