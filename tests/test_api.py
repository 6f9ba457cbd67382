import dataclasses
import importlib
import pathlib
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.errors import ModelError, RunError, TicketError
from pep_tf.export import saved_model
from pep_tf.export.model_card import read_card
from pep_tf.models import FM
from tests import tiny
from tests.training.interrupted import Diary, Interrupt

SETTINGS = tiny.settings(
    threshold_learning_rate=0.25, threshold_l2=1.0, check_every=2, checkpoint_every=4, epochs=2
)


def start() -> keras.Model:
    return tiny.model("deepfm", threshold_init=-4.0)


@pytest.fixture(scope="module")
def tickets():
    return pep_tf.prune(start(), tiny.DATA, budgets=["50%", 9], settings=SETTINGS)


@pytest.fixture(scope="module")
def retrained(tickets):
    ticket = dataclasses.replace(tickets[1])
    ticket.retrain(tiny.DATA, settings=SETTINGS)
    return ticket


def test_one_ticket_a_budget(tickets):
    assert [type(t) for t in tickets] == [pep_tf.Ticket] * 2
    assert [t.nnz for t in tickets] == [32, 9]
    assert tickets[0].retrained is None
    assert tickets[0].result is None


def test_retrain(retrained):
    assert retrained.retrained.embedding.nnz() == 9
    assert retrained.result.epochs == 2
    assert retrained.result.validation.auc > 0.5
    table = retrained.retrained.embedding.effective_table()
    np.testing.assert_array_equal(table != 0, retrained.mask())


def test_retrain_depends_on_the_start(tickets, retrained):
    other = dataclasses.replace(tickets[1])
    diary = Diary()
    own = random.getstate()
    other.retrain(tiny.DATA, init="random", settings=SETTINGS, reporter=diary, epochs=1)
    assert random.getstate() == own
    assert diary.stages == [("ticket 9", tiny.BATCHES, 0)]
    assert other.result.epochs == 1
    assert other.retrained.embedding.nnz() == 9
    mask = other.mask()
    assert not np.allclose(
        other.retrained.embedding.effective_table()[mask], other.initial["embedding/table"]
    )


class OfOnesOwn(keras.Model):
    """A model that knows nothing of fields and makes its layers itself."""

    def __init__(self, embedding=pep_tf.PEPEmbedding):
        super().__init__()
        self.table, self.dense = embedding(16, 2, name="table"), keras.layers.Dense(1)

    def call(self, ids, training=None):
        return self.dense(tf.reduce_mean(self.table(ids + tf.constant([0, 5, 12])), 1))


def test_a_model_of_ones_own_is_pruned_and_retrained():
    plain = OfOnesOwn()
    plain(tiny.DATA.train.ids[:4])
    with pytest.raises(ModelError, match=r"has no configuration.*prunable\(build_fn\)"):
        pep_tf.prune(plain, tiny.DATA, budgets=[9], settings=SETTINGS)
    model = pep_tf.prunable(OfOnesOwn, threshold_init=-4.0)
    model(tiny.DATA.train.ids[:4])
    (ticket,) = pep_tf.prune(model, tiny.DATA, budgets=[9], settings=SETTINGS)
    assert ticket.retrain(tiny.DATA, settings=SETTINGS, epochs=1).epochs == 1
    assert np.count_nonzero(ticket.retrained.table.effective_table()) == 9


def test_retrain_on_other_fields(tickets):
    other = FeatureSchema.of({**tiny.FIELDS, "hour": 5})
    data = dataclasses.replace(tiny.DATA, schema=other)
    ticket = dataclasses.replace(tickets[1])
    with pytest.raises(TicketError, match="belongs to a table with the fields"):
        ticket.retrain(data)
    assert ticket.retrained is None


def test_retrain_goes_on_from_its_checkpoint(tickets, retrained, tmp_path):
    path = tmp_path / "checkpoint"
    with pytest.raises(Interrupt):
        dataclasses.replace(tickets[1]).retrain(
            tiny.DATA, settings=SETTINGS, checkpoint=path, reporter=Diary(at=4)
        )
    ticket = dataclasses.replace(tickets[1])
    result = ticket.retrain(tiny.DATA, settings=SETTINGS, checkpoint=path)
    assert dataclasses.replace(result, seconds=0) == dataclasses.replace(
        retrained.result, seconds=0
    )


def test_prune_keeps_its_tickets_in_a_folder(tmp_path):
    folder = str(tmp_path / "pruning")
    [ticket] = pep_tf.prune(
        tiny.model("fm"), tiny.DATA, budgets=[9], settings=SETTINGS, folder=folder, prune_epochs=1
    )
    loaded = pep_tf.Ticket.load(tmp_path / "pruning" / "ticket_9.safetensors")
    assert isinstance(loaded, pep_tf.Ticket)
    np.testing.assert_array_equal(loaded.mask(), ticket.mask())
    assert (tmp_path / "pruning" / "checkpoint.safetensors").exists()


def test_settings_may_be_given_by_name():
    diary = Diary()
    model = tiny.model("fm")
    pep_tf.prune(model, tiny.DATA, budgets=[64], reporter=diary, batch_size=100, updates="dense")
    assert diary.stages[0][1] == 2 * pep_tf.Settings().prune_epochs
    with pytest.raises(RunError, match="`prune_epochs` must be at least 1"):
        pep_tf.prune(model, tiny.DATA, budgets=[64], prune_epochs=0)


def test_settings_without_effect_are_refused(tickets):
    for name in ("epochs", "patience"):
        with pytest.raises(RunError, match=f"`{name}` has no effect on pruning"):
            pep_tf.prune(start(), tiny.DATA, budgets=[64], settings=SETTINGS, **{name: 2})
    for name in ("prune_epochs", "threshold_l2", "threshold_target", "threshold_learning_rate"):
        with pytest.raises(RunError, match=f"`{name}` has no effect on retraining a ticket"):
            tickets[0].retrain(tiny.DATA, settings=SETTINGS, **{name: 2})
    with pytest.raises(RunError, match="`dense_below` has no effect with updates=dense"):
        pep_tf.Settings(updates="dense", dense_below=5)
    with pytest.raises(TypeError, match="dtyp"):
        tickets[0].export("nowhere", dtyp="int8")


def test_export(retrained, tmp_path):
    folder = retrained.export(tmp_path / "ticket_9", metadata={"note": "hello"})
    assert folder == tmp_path / "ticket_9" / "1"
    served = tf.saved_model.load(folder).signatures["serving_default"]
    ids = tiny.DATA.test.ids
    probability = served(ids=tf.constant(ids))["probability"]
    expected = tf.sigmoid(retrained.retrained(ids, training=False)[:, 0])
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    card = (folder / "assets.extra" / "model_card.json").read_text()
    for fact in ('"hello"', '"tiny"', tiny.DATA.train.md5, '"budget": 9', '"nnz": 9'):
        assert fact in card
    assert retrained.export(tmp_path / "ticket_9").name == "2"


def answer_of(folder: pathlib.Path, **inputs) -> np.ndarray:
    loaded = tf.saved_model.load(folder)
    tensors = {name: tf.constant(values) for name, values in inputs.items()}
    return loaded.signatures["serving_default"](**tensors)["probability"].numpy()


def test_export_with_data_serves_raw_features(tmp_path):
    data = pep_tf.data.load("movielens-small")
    model = pep_tf.build_model("fm", data.schema.size_by_name, embedding_dim=4, threshold_init=-4.5)
    rng = np.random.default_rng(0)
    model.first_order.table.assign(rng.normal(0, 0.3, model.first_order.table.shape))
    assert 0 < model.embedding.nnz() < 0.8 * 4 * data.schema.num_features
    folder = pep_tf.export(model, tmp_path / "model", data=data)
    ids = data.transform({name: tf.constant(v) for name, v in data.examples.items()})
    expected = tf.sigmoid(model(ids, training=False)[:, 0])
    np.testing.assert_allclose(answer_of(folder, **data.examples), expected, atol=1e-6)
    # A user whom training has not seen adds nothing: no first-order weight and no pair.
    stranger = {**data.examples, "user": np.array([10**12, -1])}
    rows = model.field_ids(ids)
    known = np.arange(5) != 0
    logit = model.interact(
        model.embedding(rows) * known[:, None], model.first_order(rows) * known[:, None]
    )
    np.testing.assert_allclose(
        answer_of(folder, **stranger), tf.sigmoid(logit)[:, 0], rtol=0, atol=1e-6
    )
    card = read_card(folder)
    assert card["check"]["rows"] == 1024
    assert card["check"]["largest_difference"] <= 1e-6
    assert card["missing_values"]["genres"] == ""
    assert card["missing_values"]["timestamp"] == -1
    assert 0 < card["vocabulary_bytes"] < 12 * data.schema.num_features + 30_000


@pytest.mark.parametrize("format", ["savedmodel", "litert"])
@pytest.mark.parametrize(("dtype", "least"), [("float32", 0), ("float16", 1e-9), ("int8", 1e-6)])
def test_export_in_every_form_is_checked(retrained, tmp_path, format, dtype, least):
    if format == "litert":
        pytest.importorskip("ai_edge_litert", reason="needs requirements-export.txt")
    card = read_card(retrained.export(tmp_path / "ticket", dtype=dtype, format=format))
    assert (card["format"], card["export_dtype"]) == (format, dtype)
    assert least <= card["check"]["largest_difference"] < 1e-2


def test_an_export_that_answers_otherwise_is_refused(retrained, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "saved_model_answer", lambda *_: np.zeros(120))
    with pytest.raises(RunError, match="does not answer as the trained model does"):
        retrained.export(tmp_path / "ticket")
    assert not list((tmp_path / "ticket").iterdir())


@pytest.mark.parametrize("wrong", [{"dtype": "float8"}, {"format": "onnx"}])
def test_export_in_an_unknown_form(retrained, tmp_path, wrong):
    (name,) = wrong
    with pytest.raises(RunError, match=f"`{name}` must be one of"):
        retrained.export(tmp_path / "ticket", **wrong)
    assert not (tmp_path / "ticket").exists()


def test_export_of_a_model_that_was_pruned_but_not_retrained(tmp_path):
    model = tiny.model("autoint", threshold_init=-1.0)
    assert 0 < model.embedding.nnz() < tiny.ENTRIES
    folder = pep_tf.export(model, tmp_path / "model")
    served = tf.saved_model.load(folder).signatures["serving_default"]
    ids = tiny.DATA.test.ids
    logit = served(ids=tf.constant(ids))["logit"]
    np.testing.assert_allclose(logit, model(ids, training=False)[:, 0], atol=1e-6)


def test_export_before_retrain(tickets, tmp_path):
    with pytest.raises(RunError, match="must be retrained before it is exported: call `retrain`"):
        tickets[0].export(tmp_path / "ticket")
    assert not (tmp_path / "ticket").exists()


def test_export_to_a_folder_that_cannot_be_written(retrained, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError):
        retrained.export(tmp_path / "file" / "ticket")


@pytest.mark.parametrize(
    "model",
    [
        lambda: tiny.model("linear"),
        lambda: FM(tiny.FIELDS, keras.layers.Embedding(16, 4)),
        lambda: keras.Sequential(),
    ],
)
def test_export_of_a_model_without_pep_embedding(model, tmp_path):
    with pytest.raises(
        ModelError, match="`model` must have (an embedding of this package|a PEPEmb)"
    ):
        pep_tf.export(model(), tmp_path / "model")


def test_a_validation_split_of_one_class():
    split = tiny.DATA.validation
    zeros = ArraySplit(split.ids, np.zeros(split.num_rows), np.arange(split.num_rows))
    data = CTRData("tiny", tiny.DATA.schema, tiny.DATA.train, zeros, tiny.DATA.test)
    with pytest.raises(
        pep_tf.errors.DataError,
        match="`validation` must hold rows of both classes.* 120 rows, all labelled 0",
    ):
        pep_tf.prune(tiny.model("fm"), data, budgets=[3], settings=SETTINGS)


def test_public_names_exist():
    package = importlib.import_module("pep_tf")
    assert sorted(package.__all__) == sorted(set(package.__all__))
    for name in package.__all__:
        assert getattr(package, name) is not None
