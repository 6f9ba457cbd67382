import dataclasses
import json

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from pep_tf.errors import TicketError
from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from pep_tf.training import Ticket, fit
from pep_tf.training.cut_tickets import cut_tickets
from pep_tf.training.weights import assign, named_weights, snapshot
from tests import tiny
from tests.layers.test_pep_embedding import square_gate
from tests.training.interrupted import assert_same

BUDGET = 21
FACTS = {"dataset": "tiny", "split_md5": {"train": "0f"}}


def cut(model: keras.Model, budget: int = BUDGET) -> Ticket:
    """A ticket of a model whose weights have moved a little since the start."""
    initial = snapshot(model)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    (ticket,) = cut_tickets(model, initial, [budget], 40, True, FACTS)
    return ticket


@pytest.fixture(scope="module")
def pruned():
    return tiny.model("deepfm", threshold_init=-1.5)


@pytest.fixture(scope="module")
def initial(pruned):
    return snapshot(pruned)


@pytest.fixture(scope="module")
def ticket(pruned, initial):
    return cut(pruned)


@pytest.fixture
def path(ticket, tmp_path):
    ticket.save(tmp_path / "ticket")
    return tmp_path / "ticket"


def test_keeps_the_highest_scores(ticket, pruned):
    score = np.concatenate([score for *_, score in pruned.embedding.blocks()])
    mask = ticket.mask()
    assert mask.shape == (16, 4)
    assert mask.sum() == ticket.nnz == ticket.budget == BUDGET
    assert score[mask].min() > score[~mask].max()
    assert (ticket.step, ticket.forced, ticket.facts) == (40, True, FACTS)


def test_holds_only_what_is_kept_and_no_thresholds(ticket, pruned, initial):
    mask = ticket.mask()
    np.testing.assert_array_equal(
        ticket.initial["embedding/table"], initial["embedding/table"][mask]
    )
    np.testing.assert_array_equal(
        ticket.trained["embedding/table"], pruned.embedding.effective_table()[mask]
    )
    for weights in (ticket.initial, ticket.trained):
        assert set(weights) == set(initial) - {"embedding/thresholds"}


def test_a_model_of_original_weights(ticket, initial):
    model = ticket.model()
    weights = snapshot(model)
    for name in ("rows", "starts", "columns"):
        weights.pop(f"embedding/{name}")
    expected = {n: v for n, v in initial.items() if n != "embedding/thresholds"}
    mask = ticket.mask()
    expected["embedding/table"] = expected["embedding/table"][mask][:, None]
    assert_same(weights, expected)
    table = model.embedding.effective_table()
    np.testing.assert_array_equal(table, initial["embedding/table"] * mask)
    assert model.embedding.nnz() == BUDGET
    assert model.field_ids.fields == tiny.FIELDS


def test_a_model_of_trained_weights_gives_the_outputs_of_the_cut_model(pruned):
    """With a budget that the thresholds had reached, nothing is lost in the cut."""
    budget = pruned.embedding.nnz()
    (ticket,) = cut_tickets(pruned, snapshot(pruned), [budget], 40, False, FACTS)
    assert 0 < ticket.nnz < tiny.ENTRIES
    ids = tiny.DATA.test.ids
    np.testing.assert_allclose(ticket.model("trained")(ids), pruned(ids), atol=1e-6)


def test_a_model_of_random_weights(ticket, initial):
    tables = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        model = ticket.model("random")
        assert model.embedding.nnz() == BUDGET
        tables.append(model.embedding.effective_table())
        np.testing.assert_array_equal(tables[-1] != 0, ticket.mask())
        kernel = "deep/dense_0/kernel"
        assert not np.array_equal(named_weights(model)[kernel], initial[kernel])
    np.testing.assert_array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0], tables[2])
    assert not np.array_equal(tables[0], initial["embedding/table"] * ticket.mask())


def test_a_model_of_something_else(ticket):
    with pytest.raises(ValueError, match=r"`init` must be one of \['original', .*'zeros'"):
        ticket.model("zeros")


@pytest.mark.parametrize("init", ["original", "random"])
def test_as_many_non_zeros_after_retraining(init):
    model = cut(tiny.model("fm")).model(init)
    before = model.embedding.effective_table()
    fit(model, tiny.DATA, tiny.settings(epochs=2))
    assert model.embedding.nnz() == BUDGET
    table = model.embedding.effective_table()
    np.testing.assert_array_equal(table != 0, before != 0)
    assert np.abs(table - before).max() > 0.01


class Masked(keras.layers.Layer):
    """The whole table under its mask: what a ticket's layer is to equal."""

    def __init__(self, table, mask):
        super().__init__(name="embedding")
        self.start, self.mask = table, tf.constant(mask, tf.float32)

    def build(self, input_shape):
        self.table = self.add_weight(name="table", shape=self.start.shape)
        self.table.assign(self.start)

    def call(self, rows):
        return tf.gather(self.table * self.mask, rows)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.start.shape[1])


@pytest.mark.parametrize("updates", ["dense", "rowwise"])
def test_retrains_as_a_masked_table_would(updates):
    ticket = cut(tiny.model("fm"))
    mask = ticket.mask()
    table = np.zeros(mask.shape, np.float32)
    table[mask] = ticket.initial["embedding/table"]
    masked = FM(tiny.FIELDS, Masked(table, mask))
    masked.build()
    rest = {k: v for k, v in ticket.initial.items() if not k.startswith("embedding/")}
    assign(masked, rest)
    sparse = ticket.model()
    settings = tiny.settings(epochs=2, updates="dense")
    oracle = fit(masked, tiny.DATA, settings)
    result = fit(sparse, tiny.DATA, dataclasses.replace(settings, updates=updates))
    assert result.best_epoch == oracle.best_epoch
    np.testing.assert_allclose(
        sparse.embedding.effective_table(), masked.embedding.table.numpy() * mask, atol=2e-6
    )
    assert result.test.auc == pytest.approx(oracle.test.auc, abs=1e-4)


@pytest.mark.parametrize("budget", [0, tiny.ENTRIES])
def test_round_trip_of_nothing_and_everything(budget, tmp_path):
    ticket = cut(tiny.model("fm"), budget)
    ticket.save(tmp_path / "ticket")
    model = Ticket.load(tmp_path / "ticket").model()
    assert model.embedding.nnz() == budget


def test_round_trip(ticket, path):
    again = Ticket.load(path)
    assert_same(again.masks(), ticket.masks())
    assert_same(again.initial, ticket.initial)
    assert_same(again.trained, ticket.trained)
    for name in ("budget", "nnz", "step", "forced", "facts"):
        assert getattr(again, name) == getattr(ticket, name)
    assert json.dumps(again.blueprint.config) == json.dumps(ticket.blueprint.config)
    assert again.blueprint.skeleton == ticket.blueprint.skeleton
    for init in ("original", "trained"):
        assert_same(snapshot(again.model(init)), snapshot(ticket.model(init)))


def test_the_file_holds_no_pickle_and_is_small(ticket, path):
    content = safetensors.numpy.load_file(path)
    assert {array.dtype.kind for array in content.values()} <= {"f", "u", "i", "b"}
    assert content["initial/embedding/table"].nbytes == 4 * BUDGET


def test_a_model_with_its_own_embedding_layer_and_gate(tmp_path):
    embedding = PEPEmbedding(16, 3, gate=square_gate, threshold_init=0.1, name="mine")
    model = FM(tiny.FIELDS, embedding)
    model.build()
    cut(model, 10).save(tmp_path / "ticket")
    rebuilt = Ticket.load(tmp_path / "ticket").model()
    assert rebuilt.embedding.nnz() == 10
    assert rebuilt.embedding.name == "mine"


def test_fields_must_be_those_of_the_data(ticket):
    ticket.check_fields(tiny.FIELDS)
    user, item, hour = tiny.FIELDS.items()
    for other in (
        [user, item],
        [item, user, hour],
        [user, item, ("hour", 5)],
        [user, item, ("h", 4)],
    ):
        with pytest.raises(
            TicketError, match="belongs to a table with the fields .*but the data has"
        ):
            ticket.check_fields(dict(other))
