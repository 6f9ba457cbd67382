import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pep_tf.errors import RunError
from pep_tf.export.saved_model import MODEL_CARD, export_saved_model
from pep_tf.models import build_model, models_with
from pep_tf.tables.packed.entries import WHOLE
from tests.export.towers import DIM, FIRST_ORDER, SCHEMA, TABLE, SmallTower, expected, random_ids


@pytest.fixture(scope="module")
def tower():
    return SmallTower()


@pytest.fixture(scope="module")
def folder(tower, tmp_path_factory):
    return export_saved_model(
        tmp_path_factory.mktemp("export") / "ticket",
        schema=SCHEMA,
        table=TABLE,
        first_order=FIRST_ORDER,
        tower=tower,
        metadata={"dataset": "made up", "metrics": {"auc": 0.5}},
    )


@pytest.fixture(scope="module")
def signature(folder):
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["ids"]
    signature.keep = loaded  # A signature does not keep its variables alive.
    return signature


def test_same_probabilities_in_a_process_without_keras_and_the_package(folder, tower, tmp_path):
    ids = random_ids(SCHEMA, 257)
    np.save(tmp_path / "ids.npy", ids)
    code = f"""
import sys
import numpy as np, tensorflow as tf
own = set(sys.modules)  # TensorFlow itself imports some of Keras.
loaded = tf.saved_model.load({str(folder)!r})
answer = loaded.signatures["ids"](ids=tf.constant(np.load("ids.npy")))
np.savez("answer.npz", **{{name: value.numpy() for name, value in answer.items()}})
assert "pep_tf" not in sys.modules
assert not [m for m in set(sys.modules) - own if m.split(".")[0] == "keras"]
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    answer = np.load(tmp_path / "answer.npz")
    probability, logit = expected(tower, SCHEMA, TABLE, FIRST_ORDER, ids)
    assert answer["probability"].dtype == answer["logit"].dtype == np.float32
    np.testing.assert_allclose(answer["probability"], probability, rtol=0, atol=1e-6)
    np.testing.assert_allclose(answer["logit"], logit, rtol=0, atol=5e-6)


def test_empty_batch_gives_an_empty_answer(signature):
    answer = signature(ids=tf.zeros([0, 3], tf.int32))
    assert {name: value.shape.as_list() for name, value in answer.items()} == {
        "probability": [0],
        "logit": [0],
    }


@pytest.mark.parametrize("bad", [-1, 3, 50, 2**31 - 1, -(2**31)])
def test_an_id_out_of_range_fails_the_request_and_names_the_field(signature, bad):
    ids = random_ids(SCHEMA, 4)
    ids[2, 1] = bad
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"(?s)device.*{bad}"):
        signature(ids=tf.constant(ids))


def test_each_variable_is_in_the_file_once_and_none_of_the_live_table(folder):
    path = str(folder / "variables/variables")
    names = [name for name, _ in tf.train.list_variables(path)]
    assert len(names) == len(set(names))
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    floats = [
        tuple(shapes[name])
        for name, dtype in reader.get_variable_to_dtype_map().items()
        if dtype == tf.float32
    ]
    counts = np.count_nonzero(TABLE, axis=1)
    whole = counts >= WHOLE * DIM
    nothing = 1  # place 0 of each
    values = [(nothing + counts[~whole].sum(),), (nothing + np.count_nonzero(FIRST_ORDER), 1)]
    values += [(nothing + whole.sum(), DIM)] if whole.any() else []
    bias, gamma_beta_mean_variance = [(16,)], [(16,)] * 4
    tower = [(3 * DIM, 16), (16, 1), (1,), (), *bias, *gamma_beta_mean_variance]
    assert sorted(floats) == sorted([*values, *tower])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("int8", 1e-2), ("int4", 0.1)])
def test_smaller_numbers_give_nearly_the_same(tower, tmp_path, dtype, tolerance):
    folder = export_saved_model(
        tmp_path,
        schema=SCHEMA,
        table=TABLE,
        first_order=FIRST_ORDER,
        tower=tower,
        dtype=dtype,
    )
    loaded = tf.saved_model.load(str(folder))
    ids = random_ids(SCHEMA, 300)
    answer = loaded.signatures["ids"](ids=tf.constant(ids))["probability"]
    exact = expected(tower, SCHEMA, TABLE, FIRST_ORDER, ids)[0]
    assert 0 < np.abs(answer - exact).max() < tolerance


# A tower in bfloat16 is rounded in other places by processors that have products of such numbers.
@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-6), ("mixed_bfloat16", 1e-2)])
@pytest.mark.parametrize("name", models_with("embedding"))
def test_the_models_of_the_package(tmp_path, name, policy, tolerance, dtype_policy):
    dtype_policy(policy)
    fields = {"user": 50, "device": 3, "hour": 24}
    model = build_model(name, fields, embedding_dim=8, threshold_init=-3.5, seed=1)
    rng = np.random.default_rng(0)
    model.embedding.table.assign(rng.normal(0, 0.1, (77, 8)))
    if model.first_order is not None:
        model.first_order.table.assign(rng.normal(0, 0.1, (77, 1)))
    table = model.embedding.effective_table()
    assert 0.1 < (table == 0).mean() < 0.9
    folder = export_saved_model(
        tmp_path,
        schema=SCHEMA,
        table=table,
        first_order=model.first_order and model.first_order.effective_table(),
        tower=model,
    )
    ids = random_ids(SCHEMA, 100)
    answer = tf.saved_model.load(str(folder)).signatures["ids"](ids=tf.constant(ids))
    logit = model(ids, training=False).numpy()[:, 0]
    np.testing.assert_allclose(answer["logit"], logit, rtol=0, atol=4 * tolerance)
    probability = tf.sigmoid(logit).numpy()
    np.testing.assert_allclose(answer["probability"], probability, rtol=0, atol=tolerance)


def test_the_dense_form_answers_alike(tower, tmp_path, signature):
    folder = export_saved_model(
        tmp_path,
        schema=SCHEMA,
        table=TABLE,
        first_order=FIRST_ORDER,
        tower=tower,
        packed=False,
    )
    ids = tf.constant(random_ids(SCHEMA, 300))
    dense = tf.saved_model.load(str(folder)).signatures["ids"](ids=ids)
    np.testing.assert_array_equal(dense["probability"], signature(ids=ids)["probability"])


def test_row_blocks_give_the_same_file_as_the_whole_table(tower, tmp_path, signature):
    folder = export_saved_model(
        tmp_path,
        schema=SCHEMA,
        table=iter(np.array_split(TABLE, 5)),
        first_order=iter(np.array_split(FIRST_ORDER, 2)),
        tower=tower,
    )
    ids = tf.constant(random_ids(SCHEMA, 33))
    loaded = tf.saved_model.load(str(folder))
    np.testing.assert_array_equal(
        loaded.signatures["ids"](ids=ids)["logit"], signature(ids=ids)["logit"]
    )


def test_the_export_is_a_snapshot(tmp_path):
    tower = SmallTower()
    ids = random_ids(SCHEMA, 5)
    before = expected(tower, SCHEMA, TABLE, None, ids)[0]
    folder = export_saved_model(tmp_path, schema=SCHEMA, table=TABLE, tower=tower)
    tower.bias.assign(7.0)
    answer = tf.saved_model.load(str(folder)).signatures["ids"](ids=tf.constant(ids))
    np.testing.assert_allclose(answer["probability"], before, rtol=0, atol=1e-6)


def test_model_card_has_metadata_sizes_checksums_and_versions(folder):
    card = json.loads((folder / MODEL_CARD).read_text())
    assert card["dataset"] == "made up"
    assert card["num_features"] == 77
    assert card["versions"]["tensorflow"] == tf.__version__
    for name, facts in card["files"].items():
        assert (folder / name).stat().st_size == facts["bytes"]
    assert "saved_model.pb" in card["files"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": TABLE[:-1]}, "`table` must have 77 rows.*Received: 76"),
        ({"table": TABLE[:, 0]}, "`table` must be rows of numbers"),
        ({"table": np.full_like(TABLE, np.nan)}, "`table` must be finite"),
        ({"first_order": TABLE}, "`first_order` must be of width 1"),
        ({"dtype": "float8"}, "`dtype` must be one of"),
        ({"dtype": "int8", "packed": False}, "`dtype` must be .*'float32' where `packed`"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tower, tmp_path, change, message):
    arguments = {"schema": SCHEMA, "table": TABLE, "tower": tower, **change}
    with pytest.raises(ValueError, match=message):
        export_saved_model(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_a_write_that_fails_leaves_nothing(tower, tmp_path, monkeypatch):
    first = export_saved_model(tmp_path, schema=SCHEMA, table=TABLE, tower=tower)
    before = {p: p.stat().st_mtime_ns for p in first.rglob("*")}

    def full(module, path, signatures):
        (tmp_path / path / "saved_model.pb").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(RunError, match="No space left on device"):
        export_saved_model(tmp_path, schema=SCHEMA, table=TABLE, tower=tower)
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    assert before == {p: p.stat().st_mtime_ns for p in first.rglob("*")}


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.int32,
        st.tuples(st.integers(0, 6), st.just(3)),
        elements=st.one_of(st.integers(-1, 51), st.integers(-(2**31), 2**31 - 1)),
    )
)
def test_any_ids_are_answered_or_refused(signature, ids):
    if ((ids >= 0) & (ids < SCHEMA.sizes)).all():
        probability = signature(ids=tf.constant(ids))["probability"].numpy()
        assert probability.shape == (len(ids),)
        assert ((probability >= 0) & (probability <= 1)).all()
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be in"):
            signature(ids=tf.constant(ids))


@pytest.mark.parametrize("dtype", ["int64", "float", "string"])
def test_ids_of_another_type_are_refused_by_name(signature, dtype):
    ids = tf.fill([2, 3], "0") if dtype == "string" else tf.cast(tf.zeros([2, 3]), dtype)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"int32 tensor but is a {dtype}"):
        signature(ids=ids)


def test_a_file_in_the_way_is_a_clear_error(tower, tmp_path):
    (tmp_path / "export").write_text("here")
    with pytest.raises(RunError, match="Could not write the model to .*export"):
        export_saved_model(tmp_path / "export", schema=SCHEMA, table=TABLE, tower=tower)
