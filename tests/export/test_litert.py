import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pep_tf.data import load
from pep_tf.data.schema import FeatureSchema
from pep_tf.export.build_module import build_module
from pep_tf.export.check import litert_answer
from pep_tf.export.litert import MODEL, OUTSIDE, convert, export_litert
from pep_tf.export.model_card import read_card
from tests.data.clicklogs.rows_for_tests import REAL_AVAZU, REAL_CRITEO
from tests.export.towers import (
    DIM,
    FIRST_ORDER,
    SCHEMA,
    TABLE,
    SmallTower,
    expected,
    random_ids,
    sparse_table,
)

interpreter = pytest.importorskip(
    "ai_edge_litert.interpreter", reason="needs requirements-export.txt"
)


@pytest.fixture(scope="module")
def tower():
    return SmallTower()


@pytest.fixture(scope="module", params=["float32", "float16", "int8", "int4"])
def exported(request, tower, tmp_path_factory):
    folder = export_litert(
        tmp_path_factory.mktemp("lite"),
        schema=SCHEMA,
        table=TABLE,
        first_order=FIRST_ORDER,
        tower=tower,
        dtype=request.param,
    )
    return request.param, folder, interpreter.Interpreter(model_path=str(folder / MODEL))


def test_same_probabilities(exported, tower):
    dtype, folder, loaded = exported
    ids = random_ids(SCHEMA, 257)
    answer = loaded.get_signature_runner("ids")(ids=ids)
    probability, _ = expected(tower, SCHEMA, TABLE, FIRST_ORDER, ids)
    tolerance = {"float32": 1e-5, "float16": 1e-3, "int8": 1e-2, "int4": 0.1}[dtype]
    np.testing.assert_allclose(answer["probability"], probability, rtol=0, atol=tolerance)
    assert read_card(folder)["format"] == "litert"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 1e-3)])
@pytest.mark.parametrize("name", ["movielens-small", "criteo", "avazu"])
def test_same_probabilities_on_rows_of_the_data(tmp_path, name, dtype, tolerance):
    path = {"criteo": REAL_CRITEO, "avazu": REAL_AVAZU}.get(name)
    if path is not None and not path.exists():
        pytest.skip(f"{path} is absent")
    data = load(name, data_dir=path)
    schema = data.schema
    table = sparse_table(schema.num_features, DIM, kept=0.1)
    weights = table.any(axis=1, keepdims=True) * np.float32(0.1)
    tower = SmallTower(schema.num_fields, DIM)
    folder = export_litert(
        tmp_path, schema=schema, table=table, first_order=weights, tower=tower, dtype=dtype
    )
    run = interpreter.Interpreter(model_path=str(folder / MODEL)).get_signature_runner()
    ids = next(iter(data.test.batches(1024)))[0].numpy()
    exact = expected(tower, schema, table, weights, ids)[0]
    np.testing.assert_allclose(run(ids=ids)["probability"], exact, rtol=0, atol=tolerance)


def test_no_flex_ops(exported):
    names = {details["op_name"] for details in exported[2]._get_ops_details()}
    assert "GATHER" in names
    assert not [name for name in names if "flex" in name.lower() or name == "CUSTOM"]


def test_empty_batch_gives_an_empty_answer(exported):
    answer = exported[2].get_signature_runner()(ids=np.zeros((0, 3), np.int32))
    assert answer["probability"].shape == answer["logit"].shape == (0,)


def test_the_signature_is_ids_as_in_a_saved_model(exported):
    _, folder, loaded = exported
    assert loaded.get_signature_list() == {
        "ids": {"inputs": ["ids"], "outputs": ["logit", "probability"]}
    }
    told, fields = read_card(folder)["ids"], read_card(folder)["fields"]
    [given] = loaded.get_signature_runner("ids").get_input_details().values()
    assert told["signature"] == "ids"
    assert told["dtype"] == given["dtype"].__name__
    assert told["shape"] == [None, len(fields)] == [None, given["shape_signature"][1]]
    assert told["range"] == "[0, size of the field)"
    assert f"`{OUTSIDE}`" in told["outside"]


@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_range_of_an_id_is_its_fields(exported, column):
    run = exported[2].get_signature_runner("ids")
    ids = np.zeros((2, 3), np.int32)
    for inside in (0, SCHEMA.sizes[column] - 1):
        ids[1, column] = inside
        assert np.isfinite(run(ids=ids)["logit"]).all()
    for outside in (-1, SCHEMA.sizes[column], 2**31 - 1, -(2**31)):
        ids[1, column] = outside
        with pytest.raises(RuntimeError, match=OUTSIDE):
            run(ids=ids)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.int32,
        st.tuples(st.integers(0, 6), st.just(3)),
        elements=st.one_of(st.integers(-1, 51), st.integers(-(2**31), 2**31 - 1)),
    )
)
def test_any_ids_are_answered_or_refused(exported, ids):
    run = exported[2].get_signature_runner("ids")
    if ((ids >= 0) & (ids < SCHEMA.sizes)).all():
        probability = run(ids=ids)["probability"]
        assert probability.shape == (len(ids),)
        assert ((probability >= 0) & (probability <= 1)).all()
    else:
        with pytest.raises(RuntimeError, match=OUTSIDE):
            run(ids=ids)


@pytest.mark.parametrize("dtype", ["int64", "uint32", "uint8", "float32", "bool"])
def test_ids_of_another_type_are_refused(exported, dtype):
    run = exported[2].get_signature_runner("ids")
    with pytest.raises(ValueError, match=f"type {dtype.upper()} but expected type INT32"):
        run(ids=np.zeros((1, 3), dtype))


@pytest.mark.parametrize(
    "ids",
    [
        [0, 0, 0],
        [[[0, 0, 0]]],
        [[0, 0]],
        [[0], [1]],
        [[0], [0], [0]],
        [[0] * 4],
        [[0] * 6],
    ],
)
def test_bad_ids_fail_and_the_next_request_is_answered(exported, ids):
    run = exported[2].get_signature_runner()
    with pytest.raises(RuntimeError):
        run(ids=np.array(ids, np.int32))
    assert np.isfinite(run(ids=np.zeros((1, 3), np.int32))["logit"]).all()


class Sum(tf.Module):
    """No tower: the logit is the sum of what was looked up."""

    def interact(self, embedded, first_order):
        logit = tf.reduce_sum(embedded, axis=[1, 2])
        return logit if first_order is None else logit + tf.reduce_sum(first_order, axis=[1, 2])


@pytest.mark.parametrize("linear", ["of the same rows", "all"])
@pytest.mark.parametrize(
    ("sizes", "dim", "kept"),
    [((1,), 1, 0), ((1,), 1, 1), ((40, 2), 5, 0), ((40, 2), 5, 1), ((300, 1, 70), 70, 0.3)],
)
def test_tables_that_are_empty_or_full_or_have_one_row(tmp_path, sizes, dim, kept, linear):
    schema = FeatureSchema.of({f"f{i}": size for i, size in enumerate(sizes)})
    table = sparse_table(schema.num_features, dim, kept)
    if kept == 1:
        table[:] = 0.5
    table[::7] = np.where(table[::7].any(axis=1, keepdims=True), 0.25, 0)  # stored whole
    weights = np.full((len(table), 1), 0.25, np.float32)
    weights[~table.any(axis=1)] *= linear == "all"
    folder = export_litert(tmp_path, schema=schema, table=table, first_order=weights, tower=Sum())
    run = interpreter.Interpreter(model_path=str(folder / MODEL)).get_signature_runner()
    for batch in (33, 0, 1):
        ids = random_ids(schema, batch)
        rows = ids + schema.offsets
        exact = table[rows].sum((1, 2)) + weights[rows].sum((1, 2))
        np.testing.assert_allclose(run(ids=ids)["logit"], exact, rtol=0, atol=1e-4)


class Weighted(tf.Module):
    """A logit that tells the columns apart, in whole numbers: float32 adds them without an error."""

    def interact(self, embedded, first_order):
        columns = tf.range(1.0, embedded.shape[2] + 1)
        logit = tf.reduce_sum(embedded * columns, axis=[1, 2])
        return logit if first_order is None else logit + tf.reduce_sum(first_order, axis=[1, 2])


@settings(max_examples=12, deadline=None)
@given(
    st.data(),
    st.lists(st.integers(1, 60), min_size=1, max_size=3),
    st.sampled_from([1, 3, 8, 9, 64, 65]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_any_table_comes_back_from_the_interpreter(data, sizes, dim, rate_of_rows, rate_of_entries):
    schema = FeatureSchema.of({f"f{i}": size for i, size in enumerate(sizes)})
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = schema.num_features
    mask = (rng.random((rows, 1)) < rate_of_rows) & (rng.random((rows, dim)) < rate_of_entries)
    table = (mask * rng.integers(-9, 9, (rows, dim))).astype(np.float32)
    weights = rng.integers(-9, 9, (rows, 1)).astype(np.float32)
    weights[rng.random(rows) >= data.draw(st.sampled_from([0, 0.5, 1]))] = 0
    first_order = data.draw(st.sampled_from([weights, None]))
    module = build_module(schema=schema, table=table, tower=Weighted(), first_order=first_order)
    run = interpreter.Interpreter(
        model_content=convert(module, {"ids": module.lite_function()})
    ).get_signature_runner()
    ids = random_ids(schema, 2 * max(sizes))
    of_rows = table @ np.arange(1, dim + 1, dtype=np.float32)
    if first_order is not None:
        of_rows += weights[:, 0]
    expected_logit = of_rows[ids + schema.offsets].sum(axis=1)
    np.testing.assert_array_equal(run(ids=ids)["logit"], expected_logit)
    beyond = ids[:1] + np.int32([*[0] * (len(sizes) - 1), sizes[-1]])
    with pytest.raises(RuntimeError):
        run(ids=beyond)


def test_the_table_stays_packed(tmp_path):
    table = sparse_table(SCHEMA.num_features, 4096, kept=0.02)
    table[:, 512:] = 0
    folder = export_litert(tmp_path, schema=SCHEMA, table=table, tower=Sum())
    card = read_card(folder)
    assert card["table"]["bytes"] < card["table"]["dense_bytes"] / 20
    assert (folder / MODEL).stat().st_size < card["table"]["bytes"] + 60_000


@pytest.mark.parametrize("form", ["FieldTable", "PrefixTable"])
def test_tables_without_a_mask(tmp_path, form):
    rng, schema = np.random.default_rng(0), FeatureSchema.of({"a": 300, "b": 20, "c": 200})
    table = rng.normal(size=(520, 8)).astype(np.float32)
    if form == "FieldTable":
        table[:300, [0, 2, 3, 5, 6, 7]] = 0
        table[320:, :4] = 0
    else:
        table *= np.arange(8) < rng.integers(0, 7, (520, 1))
    ids = np.stack([rng.integers(0, size, 16) for size in schema.sizes], 1).astype(np.int32)
    told = {"schema": schema, "table": table, "tower": SmallTower(3, 8)}
    folder = export_litert(tmp_path, **told)
    assert read_card(folder)["table"]["format"] == form
    right = build_module(**told).signatures()["ids"](ids=ids)["probability"]
    answer = litert_answer((folder / MODEL).read_bytes(), {"ids": ids})
    np.testing.assert_allclose(answer, right, atol=1e-6)
