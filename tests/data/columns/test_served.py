"""What is trained is what is served: the graph maps the values of a table to the ids of the table."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

import pep_tf
from pep_tf.data import from_dataframe
from pep_tf.errors import DataError
from tests.data.columns.clicks import FEATURES, clicks
from tests.data.columns.test_from_dataframe import all_ids

ROWS = 30
LABELS = [0, 1] * (ROWS // 2)
SPLIT = ["train"] * 20 + ["validation"] * 4 + ["test"] * 6


def as_a_client_writes(value) -> bytes:
    if isinstance(value, bytes):
        return value
    if value is None or value is pd.NA or value != value:
        return b""
    if isinstance(value, list):
        return b"|".join(map(as_a_client_writes, value))
    return str(value).encode()


missing = st.sampled_from([None, np.nan, pd.NA, pd.NaT, ""])
integers = st.integers(-(2**63), 2**63 - 1)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
small = st.floats(-(2**53) + 1, 2**53 - 1)  # a float may be a whole number that was rounded above
names = st.one_of(
    *(missing, integers, st.integers(-3, 3), small, st.booleans(), any_text),
    *(st.binary(max_size=40), st.sampled_from([-0.0, 5.0, "5.0", "05", "-0", b"\xff", 2**63 - 1])),
)
wholes = st.integers(-(10**15) + 1, 10**15 - 1)
counts = st.one_of(missing, wholes, st.integers(0, 9), wholes.map(float), st.just(-0.0))
numbers = st.one_of(counts, st.floats(allow_nan=True, allow_infinity=False), integers)
times = st.one_of(
    *(missing, st.integers(-(10**9), 10**10 - 1), st.floats(0, 2e9)),
    *(st.datetimes(), st.datetimes().map(str), st.dates()),
)
items = st.one_of(missing, integers, small, st.binary(max_size=9), st.text("ab", max_size=3))
lists = st.lists(items, max_size=4).filter(
    lambda x: all(b"|" not in as_a_client_writes(v) for v in x)
)
VALUES = {
    **dict.fromkeys(("vocabulary", "vocabulary:min=2:max=2", "hash:7", "hash:100000"), names),
    "integer": counts,
    **dict.fromkeys(
        ("multi:|", "multi:|:sum:hash:9", "multi:|:max=1"),
        st.one_of(missing, st.lists(any_text, max_size=4).map("|".join), integers, lists),
    ),
    **dict.fromkeys(("bins:5", "bins:40", "float"), numbers),
    **dict.fromkeys(("hour", "weekday"), times),
}


@st.composite
def columns(draw):
    """A kind, and a column of values that it may take, as objects or as pandas makes of them."""
    kind = draw(st.sampled_from(list(VALUES)))
    few = draw(st.lists(VALUES[kind], min_size=2, max_size=8))
    values = [draw(st.sampled_from(few)) for _ in range(ROWS)]
    column = pd.Series(values, dtype=object)
    return kind, draw(st.sampled_from([column, column.infer_objects()]))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns(), columns())
def test_a_table_that_is_accepted_is_served_as_it_was_trained(first, second):
    frame = pd.DataFrame({"a": first[1], "b": second[1], "clicked": LABELS})
    features = {"a": first[0], "b": second[0]}
    try:
        data = from_dataframe(frame, "clicked", features, split=SPLIT)
    except DataError:
        reject()
    spec = {name: tf.TensorSpec([None], tf.string, name=name) for name in features}
    graph = tf.function(lambda **raw: data.transform(raw), autograph=False)
    served = graph.get_concrete_function(**spec)
    ours = data.transform.texts(frame)
    theirs = {name: map(as_a_client_writes, frame[name]) for name in features}
    for texts in (ours, theirs):
        raw = {name: tf.constant([*texts[name]], tf.string) for name in features}
        np.testing.assert_array_equal(served(**raw), all_ids(data, ROWS))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A data set with every kind, a model of it half of whose table is cut, and its export."""
    data = from_dataframe(clicks(), "clicked", FEATURES, split="time:time", name="drinks")
    model = pep_tf.build_model("fm", data.schema.size_by_name, embedding_dim=2, threshold_init=-2.0)
    assert 0 < model.embedding.nnz() < 0.9 * 2 * data.schema.num_features
    folder = tmp_path_factory.mktemp("served") / "drinks"
    return data, model, pep_tf.export(model, folder, data=data)


def test_an_export_takes_raw_columns_and_answers_as_the_model(exported):
    data, model, version = exported
    served = tf.saved_model.load(version).signatures["serving_default"]
    rows = clicks()
    raw = {name: tf.constant([*texts]) for name, texts in data.transform.texts(rows).items()}
    expected = tf.sigmoid(model(all_ids(data, len(rows)), training=False))[:, 0]
    np.testing.assert_allclose(served(**raw)["probability"], expected, rtol=0, atol=1e-6)
    requests = version / "assets.extra" / "requests"
    request = json.loads((requests / "serving_default.json").read_text("utf-8"))["inputs"]
    assert request == {
        name: [t.decode() for t in data.transform.texts(rows[:2])[name]] for name in raw
    }
    card = json.loads((version / "assets.extra/model_card.json").read_text("utf-8"))
    assert card["missing_values"] == dict.fromkeys(raw, "")
    assert card["raw_values"]["time"].startswith("seconds since 1970, or a date and time")


def test_an_unseen_value_is_served_as_a_test_row_would_be(exported):
    data, _, _ = exported
    one = {
        "user": "99.0",
        "item": "milk",
        "views": "999999999999999",
        "price": "1e9",
        "time": "0",
        "tags": "salty|cold",
        "size": "1e300",
    }
    ids = data.transform({name: tf.constant([text, ""]) for name, text in one.items()}).numpy()
    assert (ids[1] == 0).all()  # a missing value of any kind, a number that is 0 among them
    ids = ids[0]
    assert ids[[0, 2, 3, 4, 5]].tolist() == [1, 1, data.schema.sizes[3] - 1, 1, 4]
    assert 1 <= ids[1] < 50
    assert ids[6] == 1 < ids[7]
    assert ids[8] == 0
    assert ids[-1] == data.train.ids[:, -1].max()  # as the largest number of the training rows


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("views", "1.5", "`views` must be an integer"),
        ("price", "nan", "`price` must be a finite number"),
        ("time", "yesterday", "`time` must be seconds since 1970"),
        ("time", "1900-02-29", "`time` must be seconds since 1970"),
        ("item", "x" * 1025, "`item` must be text of at most 1024 bytes"),
        ("tags", "a|b|c|d", r"`tags` must be .* and 3 values, with \| between them"),
        ("size", "1e999", "`size` must be a finite number"),
    ],
)
def test_a_request_is_refused_where_training_would(exported, column, value, told):
    data, _, _ = exported
    texts = {name: tf.constant([*t]) for name, t in data.transform.texts(clicks()[:2]).items()}
    texts[column] = tf.constant([texts[column][0].numpy(), value])
    with pytest.raises(tf.errors.InvalidArgumentError, match=told) as error:
        data.transform(texts)
    assert "in row 1" in str(error.value)


def test_a_model_without_some_features_is_served_the_same():
    data = from_dataframe(clicks(), "clicked", FEATURES)
    raw = {name: tf.constant([*t]) for name, t in data.transform.texts(clicks()).items()}
    empty = np.random.default_rng(0).random(data.schema.num_features) < 0.5
    empty[data.schema.offsets] = False
    for unseen in (True, False):
        empty[(data.schema.offsets + 1)[np.array(data.schema.sizes) > 1]] = unseen
        offsets = data.schema.offsets[data.schema.column_fields]
        ids = data.transform(raw).numpy() + offsets
        left = data.transform.without(empty)(raw).numpy() + offsets
        assert (empty[ids[left != ids]] & empty[left[left != ids]]).all()
        assert (left != ids).any() == unseen
