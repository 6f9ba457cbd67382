import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.lookup import NumberLookup, TextLookup


def test_places_by_hand():
    numbers = NumberLookup(np.array([-5, 0, 2**62]), "age")
    assert numbers(
        tf.constant([0, 2**62, -5, 1, 2**63 - 1, -(2**63)], tf.int64)
    ).numpy().tolist() == [
        *(1, 2, 0),
        *(-1, -1, -1),
    ]
    texts = TextLookup(np.array(["b", "", "é", b"\xff"], object), "zip")
    assert texts(tf.constant(["é", b"\xff", "", "b", "B", "b "])).numpy().tolist() == [
        *(2, 3, 1, 0),
        *(-1, -1),
    ]


@pytest.mark.parametrize("dtype", [tf.int64, tf.string])
def test_an_empty_batch(dtype):
    kind = {tf.int64: NumberLookup, tf.string: TextLookup}[dtype]
    lookup = kind(np.array([1] if dtype == tf.int64 else ["a"]), "field")
    assert lookup.dtype == dtype
    assert lookup(tf.zeros([0], dtype)).shape == (0,)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.binary(max_size=20), min_size=1), st.lists(st.binary(max_size=20)))
def test_every_text_is_found_and_no_other(known, asked):
    values = sorted(known)
    asked = [*values, *asked]
    found = TextLookup(np.array(values, object), "text")(tf.constant(asked)).numpy().tolist()
    assert found == [values.index(a) if a in known else -1 for a in asked]


@pytest.mark.parametrize(
    "lookup",
    [NumberLookup(np.array([3, 5, 9]), "n"), TextLookup(np.array(["3", "5", "9"]), "t")],
    ids=["number", "text"],
)
@pytest.mark.parametrize("empty", [[0, 1, 0], [1, 0, 1], [0, 0, 0]])
def test_values_that_are_left_out_are_unknown_and_the_others_keep_their_ids(lookup, empty):
    smaller = lookup.without(np.array(empty, bool))
    asked = tf.constant([3, 5, 9, 4], tf.int64)
    asked = asked if lookup.dtype == tf.int64 else tf.strings.as_string(asked)
    expected = [-1 if out else place for place, out in enumerate(empty)]
    assert smaller(asked).numpy().tolist() == [*expected, -1]
