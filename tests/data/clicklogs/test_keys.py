import datetime
import math
import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.clicklogs import CRITEO, keys
from pep_tf.data.clicklogs.column_rules import HOUR_RULE, rule_of
from pep_tf.data.clicklogs.parse import NumberKeys
from pep_tf.data.columns.categories import text_keys
from pep_tf.data.hashing import mix
from pep_tf.data.tokens import MAX_TOKEN_BYTES, Tokens, text_keys_of, tokens_of_buffer

INTEGER_BASE = 1 << 32
WRONG = [b"1x", b"-", b"--1", b"1-", b"+1", b" 1", b"9" * 16, b".0", b"5.1", b"5e0", b"5.0"]


def numpy_tokens(texts: list[bytes]) -> Tokens:
    padded = np.frombuffer(b"".join(texts) + bytes(MAX_TOKEN_BYTES), np.uint8)
    lengths = np.array([[len(t)] for t in texts])
    starts = np.cumsum(lengths, axis=0) - lengths
    return tokens_of_buffer(padded, starts, lengths)


def both(kind: str, texts: list[bytes]) -> np.ndarray | None:
    """Keys of a file's tokens, after checking that a request's are the same; None: one is malformed."""
    rule = HOUR_RULE if kind in ("hour_of_day", "weekday") else rule_of(CRITEO, "I1")
    tokens = numpy_tokens(texts)
    if kind == "category":
        ours = tokens.keys()
    elif (ours := NumberKeys(kind, rule)(tokens)) is None:
        return None
    np.testing.assert_array_equal(ours[:, 0], keys.keys_of_texts(kind, tf.constant(texts)))
    return ours[:, 0]


def test_integers_by_hand():
    # ln(3)^2 = 1.2, ln(5)^2 = 2.6, ln(100)^2 = 21.2, ln(1382)^2 = 52.3
    texts = [b"", b"-3", b"0", b"1", b"2", b"3", b"5", b"100", b"1382", b"007"]
    found = both("integer", texts)
    expected = [-5, -2, -1, 0, 1, 2, 21, 52, int(math.log(7) ** 2)]
    assert found[0] == 0
    assert (found[1:].astype(np.int64) - INTEGER_BASE).tolist() == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-(10**15) + 1, 10**15 - 1), min_size=1, max_size=20))
def test_integers_match_the_plain_formula(values: list[int]):
    found = both("integer", [str(v).encode() for v in values])
    expected = [int(math.log(v) ** 2) if v > 2 else v - 2 for v in values]
    assert (found.astype(np.int64) - INTEGER_BASE).tolist() == expected


@pytest.mark.parametrize("step", [2, 21, 100, 450, 1100])
def test_integers_at_the_steps_of_the_logarithm(step: int):
    edge = math.ceil(math.exp(math.sqrt(step)))
    around = [edge + d for d in range(-3, 4) if edge + d > 2]
    found = both("integer", [str(v).encode() for v in around])
    assert (found.astype(np.int64) - INTEGER_BASE).tolist() == [
        int(math.log(v) ** 2) for v in around
    ]


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.binary(max_size=MAX_TOKEN_BYTES), st.sampled_from(WRONG)))
def test_malformed_integers_are_told(text: bytes):
    text = text.replace(b"\0", b"")
    found = both("integer", [b"5", text])
    whole = re.sub(rb"\.0{0,15}$", b"", text)
    digits = whole.removeprefix(b"-")
    assert (found is not None) == (not text or (digits.isdigit() and len(digits) <= 15))


def test_short_categories_are_their_own_key():
    found = both("category", [b"", b"a", b"68fd1e64"])
    assert found.tolist() == [0, ord("a"), int.from_bytes(b"68fd1e64", "little")]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=MAX_TOKEN_BYTES), min_size=2, max_size=20, unique=True))
def test_different_categories_have_different_keys(texts: list[bytes]):
    texts = sorted({t.replace(b"\0", b"0") for t in texts})
    found = both("category", texts)
    assert len(set(found.tolist())) == len(texts)


@settings(max_examples=25, deadline=None)
@given(st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2099, 12, 31)))
def test_parts_of_the_hour(when: datetime.datetime):
    text = when.strftime("%y%m%d%H").encode()
    [hour], [weekday] = both("hour_of_day", [text]), both("weekday", [text])
    assert hour - INTEGER_BASE == when.hour
    assert weekday - INTEGER_BASE == when.weekday()


@pytest.mark.parametrize(
    "text", [b"14133023", b"14003023", b"14103024", b"14103223", b"1410302", b"x4103023"]
)
def test_impossible_hours_are_malformed(text: bytes):
    assert both("weekday", [text]) is None


def test_mix_is_fmix64():
    # 1 through MurmurHash3's fmix64, by Python's integers.
    x, mask = 1, 2**64 - 1
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & mask
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & mask
    assert mix(np.array([1], np.uint64))[0] == x ^ x >> 33
    assert mix(tf.constant([1], tf.uint64)).numpy()[0] == x ^ x >> 33


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1))
def test_texts_of_any_bytes_have_the_keys_of_the_graph(texts):
    np.testing.assert_array_equal(text_keys_of(texts), text_keys(tf.constant(texts)))
