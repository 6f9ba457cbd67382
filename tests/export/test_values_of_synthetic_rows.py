"""Synthetic rows: raw values are served with the ids whose tokens they are, or refused."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.raw import UNKNOWN
from pep_tf.data.synthetic.shape import get_shape
from pep_tf.data.synthetic.text import ids_of, tokens
from pep_tf.data.synthetic.transform import SyntheticTransform
from pep_tf.errors import DataError
from tests.export.served import REFUSED, Served, values


@pytest.fixture(scope="module", params=["criteo", "avazu"])
def served(request, tmp_path_factory):
    transform = SyntheticTransform(request.param, get_shape(request.param).schema(2000))
    return Served.of(transform, tmp_path_factory.mktemp(request.param))


def written_id(shape: str, field: int, value: bytes, size: int) -> int | str:
    """The id that a value names in a file of this shape, where each number is what it says."""
    kind = get_shape(shape).columns[field].kind
    if value == b"":
        return 0 if kind == "integer" else UNKNOWN
    if kind == "hex":
        canonical = value if re.fullmatch(rb"[0-9a-f]{8}", value) else None
    else:
        number = re.fullmatch(rb"(-?[0-9]{1,19})(\.0{0,15})?", value)
        canonical = number and number[1]
        if kind == "hour":
            canonical = canonical if canonical and possible(canonical) else None
        elif canonical:
            canonical = str(int(canonical)).encode()
    if canonical is None:
        return REFUSED
    try:
        found = int(ids_of(shape, field, np.array([canonical]))[0])
    except DataError:
        return UNKNOWN  # a number that no row has
    return found if 0 <= found < size else UNKNOWN


def possible(hour: bytes) -> bool:
    parts = [int(hour[place : place + 2]) for place in (2, 4, 6)] if len(hour) == 8 else [0, 0, 0]
    return 1 <= parts[0] <= 12 and 1 <= parts[1] <= 31 and parts[2] <= 23 and hour[:1] != b"-"


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_synthetic_rows(served, data):
    schema, shape = (
        served.transform.schema,
        "avazu" if "hour" in served.transform.schema.names else "criteo",
    )
    fields = {"criteo": [0, 12, 13, 38], "avazu": [0, 1, 3, 21]}[shape]
    row = {n: tokens(shape, f, np.array([1]))[0] for f, n in enumerate(schema.names)}
    # A value is drawn as the id that it has, or as any text.
    known = st.sampled_from(fields).flatmap(
        lambda field: st.tuples(st.just(field), st.integers(0, schema.sizes[field] + 5))
    )
    anything = st.tuples(st.sampled_from(fields), values)
    drawn = data.draw(st.lists(st.one_of(known, anything), min_size=1, max_size=10))
    cases = []
    for field, value in drawn:
        ids, size = np.ones(schema.num_fields, int), schema.sizes[field]
        if isinstance(value, int):
            place = value if value < size else UNKNOWN
            value = bytes(tokens(shape, field, np.array([value]))[0])
        else:
            place = written_id(shape, field, value, size)
        ids[field] = 0 if place is REFUSED else place
        cases.append((schema.names[field], value, REFUSED if place is REFUSED else ids))
    served.check(row, cases)
