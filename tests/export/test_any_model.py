"""Any Keras model, packed and exported."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import pep_tf
from pep_tf.errors import ModelError, RunError
from pep_tf.export.inspect import inspect
from pep_tf.export.model_card import read_card
from pep_tf.layers import PackedEmbedding, PEPEmbedding, TicketEmbedding
from pep_tf.models import build_model
from tests import any_model, tiny

NO_KERAS_FILE = "shared_table"  # Keras 3.15 cannot load one of a layer that two nested models share


def small(kind: str) -> keras.Model:
    """A model whose tables keep about a third of their entries."""
    model = pep_tf.prunable(any_model.KINDS[kind](), threshold_init=-0.5)
    for layer in model._flatten_layers():
        if isinstance(layer, PEPEmbedding):
            shape = (layer.input_dim, layer.output_dim)
            layer.table.assign(np.random.default_rng(0).normal(0, 0.4, shape))
    return model


def answers(model, batch) -> np.ndarray:
    return np.asarray(model(batch, training=False))


@pytest.mark.parametrize("kind", any_model.KINDS)
def test_a_packed_model_answers_as_before_and_so_does_its_file(kind, tmp_path):
    model = small(kind)
    batch, _ = any_model.batch(model, seed=3)
    packed = pep_tf.packed(model)
    layers = [x for x in packed._flatten_layers() if hasattr(x, "row_blocks")]
    assert {type(x) for x in layers} == {PackedEmbedding}
    np.testing.assert_allclose(answers(packed, batch), answers(model, batch), atol=1e-6)
    assert pep_tf.packed(packed) is packed
    if kind != NO_KERAS_FILE:
        packed.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(answers(again, batch), answers(packed, batch))


@pytest.mark.parametrize("kind", any_model.KINDS)
def test_an_exported_model_answers_as_the_model(kind, tmp_path):
    model = small(kind)
    batch, _ = any_model.batch(model, seed=3)
    version = pep_tf.export(model, tmp_path / "model", examples=batch)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    named = (
        batch
        if isinstance(batch, dict)
        else {served.structured_input_signature[1].popitem()[0]: batch}
    )
    found = served(**{name: tf.constant(value) for name, value in named.items()})
    np.testing.assert_allclose(found["output_0"], answers(model, batch), atol=1e-6)
    card = read_card(version)
    assert card["check"]["rows"] == 64
    assert card["check"]["largest_difference"] <= 1e-6
    report = inspect(version)
    assert report["bytes"]["total"] == sum(
        f.stat().st_size for f in version.rglob("*") if f.is_file()
    )
    assert not report["changed"] + report["missing"] + report["added"]
    nnz = sum(x.nnz() for x in model._flatten_layers() if isinstance(x, PEPEmbedding))
    assert sum(table["nnz"] for table in report["tables"].values()) == nnz
    # No variable is there twice.
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    types = reader.get_variable_to_dtype_map()
    data = sum(
        int(np.prod(shape)) * types[name].size
        for name, shape in reader.get_variable_to_shape_map().items()
        if types[name] != tf.string
    )
    told = sum(table["bytes"] for table in report["tables"].values()) + card["tower_bytes"]
    assert data == told


def test_keras_exports_a_packed_model_too(tmp_path):
    model = small("functional")
    batch, _ = any_model.batch(model)
    pep_tf.packed(model).export(tmp_path / "keras", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "keras"))
    found = served.serve({name: tf.constant(value) for name, value in batch.items()})
    np.testing.assert_allclose(found, answers(model, batch), atol=1e-6)


def test_litert_answers_as_the_model(tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    model = small("two_towers")
    batch, _ = any_model.batch(model)
    version = pep_tf.export(model, tmp_path / "lite", examples=batch, format="litert")
    content = (version / "model.tflite").read_bytes()
    runner = interpreter.Interpreter(model_content=content).get_signature_runner("serving_default")
    np.testing.assert_allclose(runner(**batch)["output_0"], answers(model, batch), atol=1e-5)


def test_a_vocabulary_goes_along(tmp_path):
    words = ["a", "b", "c"]
    given = keras.Input((), dtype="string", name="word")
    ids = keras.layers.StringLookup(vocabulary=words)(given)
    rows = PEPEmbedding(4, 8, threshold_init=-9.0)(ids)
    model = keras.Model({"word": given}, {"score": keras.layers.Dense(1)(rows), "rows": rows})
    version = pep_tf.export(model, tmp_path / "words", dtype="float16")
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    found = served(word=tf.constant(["c", "a", "?"]))
    expected = model({"word": tf.constant(["c", "a", "?"])})
    for name in ("score", "rows"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-3)


def test_texts_in_columns_stand_in_the_sample_requests(tmp_path):
    given = keras.Input((2,), dtype="string", name="words")
    ids = keras.layers.StringLookup(vocabulary=["a", "b"])(given)
    model = keras.Model(given, PEPEmbedding(3, 2, threshold_init=-9.0)(ids))
    texts = tf.constant([["a", "b"], ["b", b"\xff"]])
    version = pep_tf.export(model, tmp_path / "model", examples=texts)
    request = json.loads((version / "assets.extra/requests/serving_default.json").read_text())
    assert request["inputs"] == {"words": [["a", "b"], ["b", {"b64": "/w=="}]]}


def test_ragged_bags_have_their_row_splits_as_an_input(tmp_path):
    given = keras.Input((None,), dtype="int32", name="tags", ragged=True)
    model = keras.Model(given, PEPEmbedding(9, 4, combiner="sum", threshold_init=-9.0)(given))
    bags = tf.ragged.constant([[1, 2], [], [8]], dtype=tf.int32)
    version = pep_tf.export(model, tmp_path / "bags", examples=bags)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    found = served(tags=bags.flat_values, tags_row_splits=bags.row_splits)
    np.testing.assert_allclose(found["output_0"], model(bags), atol=1e-6)


def test_small_tables_do_without_a_large_graph(tmp_path):
    model = small("functional")
    version = pep_tf.export(model, tmp_path / "model")
    assert (version / "saved_model.pb").stat().st_size < 100_000
    assert {t["format"] for t in read_card(version)["tables"].values()} == {"FieldTable"}


def test_tables_of_one_form_share_their_lookup(tmp_path):
    rng = np.random.default_rng(0)
    given = {f"c{i}": keras.Input((), dtype="int32", name=f"c{i}") for i in range(3)}
    layers = [PEPEmbedding(n, 16, threshold_init=-30.0) for n in (2_000, 1_500, 1_000)]
    rows = [layer(ids) for layer, ids in zip(layers, given.values(), strict=True)]
    for layer in layers:
        shape = (layer.input_dim, 16)
        layer.table.assign(rng.normal(size=shape) * (rng.random(shape) < 0.1))
    model = keras.Model(given, keras.layers.Dense(1)(keras.layers.Concatenate()(rows)))
    batch = {name: rng.integers(0, 1_000, 9).astype(np.int32) for name in given}
    version = pep_tf.export(model, tmp_path / "model", examples=batch)
    assert read_card(version)["check"]["largest_difference"] <= 1e-6
    assert {t["format"] for t in read_card(version)["tables"].values()} == {"PackedTable"}
    content = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    [graph] = [meta_graph.graph_def for meta_graph in content.meta_graphs]
    lookups = [f for f in graph.library.function if "_lookup_" in f.signature.name]
    assert len(lookups) == 1
    assert (version / "saved_model.pb").stat().st_size < 150_000


def test_what_cannot_be_exported_is_refused_in_a_line(tmp_path):
    closed = pep_tf.prunable(any_model.build_fn)
    where = tmp_path / "model"
    with pytest.raises(ModelError, match="its table 'users' has no weights yet"):
        pep_tf.export(closed, where)
    any_model.built(closed)
    with pytest.raises(ModelError, match="does not tell what it takes: give `examples`"):
        pep_tf.export(closed, where)
    with pytest.raises(RunError, match="`data` is for a model of pep_tf.models"):
        pep_tf.export(closed, where, data=tiny.DATA)
    with pytest.raises(ModelError, match="must have a PEPEmbedding or a TicketEmbedding"):
        pep_tf.export(any_model.sequential(), where)
    model = small("functional")
    with pytest.raises(ModelError, match=r"must hold the model's inputs .* none of \['item'\]"):
        pep_tf.export(model, where, examples={"user": np.array([1])})
    with pytest.raises(ModelError, match="must be a batch .* Received: object"):
        pep_tf.export(closed, where, examples=[[object()]])
    for batch, told in (
        (np.zeros((0,)), "a row or more"),
        (np.array([10**6]), "model takes: .* 1000000 is not in"),
    ):
        with pytest.raises(ModelError, match=f"`examples` must .*{told}"):
            pep_tf.export(model, where, examples={"user": batch, "item": batch})
    with pytest.raises(RunError, match="`dtype` has no effect on a model that is packed"):
        pep_tf.packed(pep_tf.packed(model), "int8")
    with pytest.raises(RunError, match="`dtype` must be one of .* Received: None"):
        pep_tf.export(model, where, dtype=None)
    with pytest.raises(ModelError, match="`model` must be a Keras model.* Received: str"):
        pep_tf.export("model.keras", where)
    ctr = build_model("fm", tiny.FIELDS, embedding_dim=2)
    with pytest.raises(RunError, match="`examples` has no effect for a model of pep_tf.models"):
        pep_tf.export(ctr, where, examples=np.zeros((1, 2)))
    next(x for x in model.layers if hasattr(x, "bias")).bias.assign([np.nan] * 5)
    with pytest.raises(RunError, match="must answer with finite numbers"):
        pep_tf.export(model, where)
    assert not where.exists()


def test_a_model_made_by_a_function_is_packed_by_it(tmp_path):
    model = any_model.built(pep_tf.prunable(any_model.build_fn, threshold_init=-0.5))
    batch, _ = any_model.rows()
    version = pep_tf.export(model, tmp_path / "model", examples=batch)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    inputs = {name: tf.constant(batch[name]) for name in ("user", "item")}
    extra = {name: tf.constant(value) for name, value in batch.items()}
    named = {name: extra[name] for name in served.structured_input_signature[1]}
    assert set(inputs) <= set(named)
    np.testing.assert_allclose(served(**named)["output_0"], answers(model, batch), atol=1e-6)


def test_a_ticket_is_exported_after_a_fit_of_ones_own(tmp_path):
    model = small("functional")
    batch, labels = any_model.batch(model)
    model.compile(pep_tf.RowwiseAdam(0.01), "mse")
    cut = pep_tf.PruneCallback(["20%"])
    model.fit(batch, labels, epochs=2, verbose=0, callbacks=[cut])
    ticket = cut.tickets[-1]
    made = ticket.model()
    assert any(isinstance(x, TicketEmbedding) for x in made.layers)
    made.compile(pep_tf.RowwiseAdam(0.01), "mse")
    made.fit(batch, labels, verbose=0)
    card = read_card(pep_tf.export(made, tmp_path / "small", examples=batch))
    assert sum(table["nnz"] for table in card["tables"].values()) == ticket.nnz


def test_a_ticket_by_field_is_served_as_narrow_tables(tmp_path):
    """Its table has three fields; each keeps columns of its own."""
    sizes, widths = (400, 300, 500), (2, 5, 3)
    table = PEPEmbedding(
        1_200, 16, granularity="field_dim", field_sizes=sizes, threshold_init=-9.0, name="all"
    )
    flat = keras.layers.Flatten()
    model = keras.Sequential([keras.Input((3,), dtype="int32"), table, flat, keras.layers.Dense(1)])
    thresholds = np.full((3, 16), 9.0)
    for field, width in enumerate(widths):
        thresholds[field, field : field + width] = -9.0
    table.thresholds.assign(thresholds)
    ids = np.random.default_rng(0).integers((0, 400, 700), (400, 700, 1_200), (64, 3))
    labels = (ids % 2).sum(axis=1)
    model.compile(pep_tf.RowwiseAdam(1e-3), "mse")
    cut = pep_tf.PruneCallback([int(np.dot(sizes, widths))], threshold_init=None)
    model.fit(ids, labels, verbose=0, callbacks=[cut])
    made = cut.tickets[0].model()
    made.compile(pep_tf.RowwiseAdam(1e-2), "mse")
    made.fit(ids, labels, verbose=0)
    card = read_card(pep_tf.export(made, tmp_path / "small", examples=ids))
    assert card["tables"]["all"]["format"] == "FieldTable"
    stored = np.dot(sizes, widths) + sum(widths) + 16  # each array begins with a row of zeros
    assert 4 * np.dot(sizes, widths) <= card["tables"]["all"]["bytes"] <= 4 * 1.05 * stored
    assert card["check"]["largest_difference"] <= 1e-6
