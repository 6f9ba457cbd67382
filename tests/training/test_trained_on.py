"""Models, tickets and checkpoints know the data that they come from, and refuse what means something else."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import pep_tf
from pep_tf import api
from pep_tf.data import ArraySplit, CTRData, Identity, split_arrays
from pep_tf.data.clicklogs import load_criteo
from pep_tf.errors import RunError, TicketError
from pep_tf.export.model_card import read_card
from pep_tf.models import build_model
from pep_tf.training import Settings, fit, note_trained_on, prune, trained_on
from pep_tf.training.state import load_state, save_state
from tests import tiny
from tests.data.clicklogs.rows_for_tests import criteo_lines, write

ONE = Settings(epochs=1, prune_epochs=1, batch_size=64, updates="dense")


def divided(seed: int, labels: np.ndarray | None = None) -> CTRData:
    """The rows of `tiny.DATA`, split by a seed."""
    ids = np.concatenate([split.ids for split in tiny.DATA.splits.values()])
    own = np.concatenate([split.labels for split in tiny.DATA.splits.values()])
    splits = split_arrays(ids, own if labels is None else labels, seed)
    known = Identity(split={"split seed": seed}, source="rows.csv")
    return CTRData("divided", tiny.DATA.schema, *splits, known=known)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The same text under two seeds of the hash, in buckets so few that the fields are equal."""
    path = write(tmp_path_factory.mktemp("logs") / "train.txt", criteo_lines(300))
    buckets = dict.fromkeys(load_criteo(path).schema.names, 5)
    return [load_criteo(path, seed=seed, buckets=buckets) for seed in (0, 1)]


@pytest.fixture(scope="module")
def of_logs(logs):
    model = build_model("fm", logs[0].schema.size_by_name, embedding_dim=2, pruning="none")
    fit(model, logs[0], ONE)
    return model


def test_a_model_is_not_exported_with_another_hash(logs, of_logs, tmp_path):
    right, other = logs
    with pytest.raises(RunError, match="other data: hash seed 0, here 1; split seed 0, here 1"):
        pep_tf.export(of_logs, tmp_path / "served", data=other)
    assert not (tmp_path / "served").exists()
    card = read_card(pep_tf.export(of_logs, tmp_path / "served", data=right))
    assert Identity.from_config(card["identity"]) == right.identity
    card = read_card(pep_tf.export(of_logs, tmp_path / "ids"))
    assert Identity.from_config(card["identity"]) == right.identity


def test_a_model_takes_it_along_in_a_keras_file(logs, of_logs, tmp_path):
    of_logs.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert trained_on(again) == logs[0].identity
    with pytest.raises(RunError, match="hash seed 0, here 1"):
        pep_tf.export(again, tmp_path / "served", data=logs[1])


def test_training_goes_on_under_the_same_mapping_alone(logs, of_logs):
    with pytest.raises(RunError, match="hash seed 0, here 1.*Build a new one"):
        fit(of_logs, logs[1], ONE)


def test_training_goes_on_with_new_rows_but_not_on_what_was_held_out():
    model = tiny.model()
    assert trained_on(model) is None
    fit(model, divided(0), ONE)
    assert trained_on(model) == divided(0).identity
    with pytest.raises(RunError, match="split seed 0, here 1"):
        fit(model, divided(1), ONE)
    fit(model, tiny.DATA, ONE)  # other rows
    assert trained_on(model) == tiny.DATA.identity


def test_any_keras_model_carries_it(tmp_path):
    ids = keras.Input((3,), dtype="int32")
    weights = keras.layers.Embedding(16, 1)(ids + keras.ops.array([0, 5, 12]))
    model = keras.Model(ids, keras.ops.sum(weights, axis=1))
    fit(model, divided(0), ONE)
    with pytest.raises(RunError, match="split seed 0, here 1"):
        fit(model, divided(1), ONE)


def test_a_model_that_keras_has_fitted_is_told_what_it_was_trained_on(logs, tmp_path, caplog):
    right, other = logs
    model = build_model("fm", right.schema.size_by_name, embedding_dim=2, pruning="none")
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(right.train.batches(64, seed=0), shuffle=False, steps_per_epoch=1, verbose=0)
    pep_tf.export(model, tmp_path / "served", data=other)
    (record,) = [r for r in caplog.records if "not compared with `data`" in r.getMessage()]
    assert record.levelname == "WARNING"
    note_trained_on(model, right)
    with pytest.raises(RunError, match="hash seed 0, here 1"):
        pep_tf.export(model, tmp_path / "served", data=other)


@pytest.fixture(scope="module")
def ticket():
    (made,) = api.prune(tiny.model(), divided(0), budgets=[9], settings=ONE)
    return made


@pytest.mark.parametrize("kept", ["as it is", "through a file"])
def test_a_ticket_is_not_retrained_on_another_split(ticket, tmp_path, kept):
    if kept == "through a file":
        ticket.save(tmp_path / "ticket")
        ticket = api.Ticket.load(tmp_path / "ticket")
    assert Identity.from_config(ticket.facts["identity"]) == divided(0).identity
    with pytest.raises(TicketError, match="split seed 0, here 1.*or prune anew"):
        ticket.retrain(divided(1), settings=ONE)
    assert ticket.retrained is None
    assert ticket.retrain(divided(0), settings=ONE).epochs == 1


def test_a_ticket_is_not_retrained_under_another_hash(logs):
    model = build_model("fm", logs[0].schema.size_by_name, embedding_dim=2)
    (ticket,) = api.prune(model, logs[0], budgets=[50], settings=ONE)
    with pytest.raises(TicketError, match="hash seed 0, here 1"):
        ticket.retrain(logs[1], settings=ONE)


def test_a_ticket_of_an_earlier_version_is_retrained_with_a_warning(ticket, caplog):
    facts = {name: value for name, value in ticket.facts.items() if name != "identity"}
    config = dict(ticket.blueprint.config["config"])
    del config["trained_on"]
    config = {**ticket.blueprint.config, "config": config}
    blueprint = dataclasses.replace(ticket.blueprint, config=config)
    old = dataclasses.replace(ticket, facts=facts, blueprint=blueprint)
    old.retrain(divided(1), settings=ONE)
    assert [r for r in caplog.records if "did not record the mapping" in r.getMessage()]


@pytest.mark.parametrize("what", ["fit", "prune"])
def test_training_is_not_taken_up_on_other_data(what, tmp_path):
    settings = dataclasses.replace(ONE, checkpoint_every=2, check_every=2)

    def begin(data, **options):
        if what == "fit":
            path = tmp_path / "checkpoint.safetensors"
            return fit(tiny.model(), data, settings, checkpoint=path)
        return prune(tiny.model(), data, settings, [9], folder=tmp_path, **options)

    begin(divided(0))
    labels = np.concatenate([split.labels for split in tiny.DATA.splits.values()])
    for other, told in (
        (divided(0, 1 - labels), "data content: labels of rows.csv changed"),
        (divided(1), "split seed 0, here 1"),
        (dataclasses.replace(divided(0), known=Identity(options={"of": "x"})), "of none, here x"),
    ):
        with pytest.raises(RunError, match=f"begun on other data: .*{told}.*Resume with the same"):
            begin(other)
    begin(divided(0))


def test_a_checkpoint_of_an_earlier_version_is_taken_up_with_a_warning(tmp_path, caplog):
    path, settings = tmp_path / "checkpoint", dataclasses.replace(ONE, checkpoint_every=2)
    fit(tiny.model(), divided(0), settings, checkpoint=path)
    arrays, facts = load_state(path, "a checkpoint")
    del facts["data"]
    save_state(path, arrays, facts)
    fit(tiny.model(), divided(1), settings, checkpoint=path)
    assert [r for r in caplog.records if "did not record its data" in r.getMessage()]


def test_results_and_tickets_name_content_and_mapping(ticket):
    digests = divided(0).identity.digests()
    assert ticket.facts["content_md5"] == digests.pop("content")
    assert ticket.facts["data_md5"] == digests
    assert json.dumps(ticket.facts)  # JSON-ready
    replaced = dataclasses.replace(
        divided(0), test=ArraySplit(tiny.DATA.test.ids, tiny.DATA.test.labels, np.arange(120))
    )
    digests = divided(0).identity.digests(), replaced.identity.digests()
    assert digests[0]["content"] != digests[1]["content"]
    assert digests[0]["mapping"] == digests[1]["mapping"]
