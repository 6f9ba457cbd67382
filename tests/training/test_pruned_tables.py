"""A budget that covers several tables, such as an embedding and the first-order weights."""

import keras
import numpy as np
import pytest

from pep_tf.api import prune
from pep_tf.errors import RunError, TicketError
from pep_tf.export.model_card import read_card
from pep_tf.layers import TicketEmbedding
from pep_tf.training import Ticket
from pep_tf.training.cut_tickets import cut_tickets
from pep_tf.training.pruned_tables import EntryScores, entries_of, pruned_tables
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import snapshot
from tests import tiny

ENTRIES = tiny.ENTRIES + 16
BUDGET = 30


def start(name: str = "deepfm", **options) -> keras.Model:
    return tiny.model(name, **{"threshold_init": -4.0, "prune_linear": True, **options})


@pytest.fixture(scope="module", params=["dense", "rowwise"])
def ticket(request):
    settings = tiny.settings(
        threshold_learning_rate=0.25, threshold_l2=1.0, check_every=2, updates=request.param
    )
    (ticket,) = prune(start(), tiny.DATA, budgets=[BUDGET], settings=settings)
    return ticket


def test_scores_and_values_of_each_table():
    model = start(granularity="feature")
    tables = pruned_tables(model)
    assert entries_of(tables) == {"embedding": 64, "first_order": 16}
    by_entry = EntryScores(tables)
    gate = 1 / (1 + np.exp(4.0))
    for name, layer in tables.items():
        table = layer.table.numpy()
        np.testing.assert_allclose(by_entry.scores[name], np.abs(table) - gate, atol=1e-6)
        expected = np.sign(table) * np.maximum(np.abs(table) - gate, 0)
        np.testing.assert_allclose(by_entry.entries[name], expected, atol=1e-6)


def test_the_cut_keeps_the_highest_scores_of_both():
    model = start()
    model.first_order.table.assign(np.linspace(-0.5, 0.5, 16)[:, None])
    (ticket,) = cut_tickets(model, snapshot(model), [BUDGET], 7, True, {})
    masks = ticket.masks()
    assert {name: mask.shape for name, mask in masks.items()} == {
        "embedding": (16, 4),
        "first_order": (16, 1),
    }
    assert ticket.nnz == sum(mask.sum() for mask in masks.values()) == BUDGET
    found = np.concatenate(list(EntryScores(pruned_tables(model)).scores.values()), axis=1)
    kept = np.concatenate(list(masks.values()), axis=1)
    assert found[kept].min() > found[~kept].max()
    assert 0 < masks["first_order"].sum() < 16


def test_without_the_option_first_order_weights_start_at_zero_and_stay_apart():
    model = tiny.model("fm")
    assert list(pruned_tables(model)) == ["embedding"]
    assert not model.first_order.table.numpy().any()
    table = start("fm").first_order.table.numpy()
    assert 0 < np.abs(table).max() <= (6 / 17) ** 0.5


def test_pruning_and_retraining_keep_the_budget(ticket, tmp_path):
    masks = ticket.masks()
    assert ticket.nnz == BUDGET == sum(int(mask.sum()) for mask in masks.values())
    ticket.retrain(tiny.DATA, settings=tiny.settings(epochs=2))
    for name, mask in masks.items():
        layer = getattr(ticket.retrained, name)
        assert isinstance(layer, TicketEmbedding)
        np.testing.assert_array_equal(layer.effective_table() != 0, mask)
    card = read_card(ticket.export(tmp_path / "export"))
    assert card["table"]["nnz"] + card["first_order"]["nnz"] == BUDGET
    assert card["check"]["largest_difference"] <= 1e-6


@pytest.mark.parametrize("init", ["original", "trained", "random"])
def test_round_trip(ticket, init, tmp_path):
    ticket.save(tmp_path / "ticket")
    again = Ticket.load(tmp_path / "ticket")
    model = again.model(init)
    for name, mask in ticket.masks().items():
        layer = getattr(model, name)
        table = layer.effective_table()
        assert layer.entries.shape[0] == mask.sum()
        if init != "trained":  # where a forced cut keeps entries whose E is 0
            np.testing.assert_array_equal(table != 0, mask)
        if init != "random":
            stored = {"original": ticket.initial, "trained": ticket.trained}[init]
            np.testing.assert_array_equal(table[mask], stored[f"{name}/table"])
    assert not {n for n in again.initial if n.endswith("thresholds")}


@pytest.mark.parametrize("without", ["mask/first_order", "initial/first_order/table"])
def test_a_ticket_that_lacks_a_part(ticket, without, tmp_path):
    ticket.save(tmp_path / "ticket")
    arrays, facts = load_state(tmp_path / "ticket", "a ticket")
    del arrays[without]
    save_state(tmp_path / "ticket", arrays, facts)
    with pytest.raises(TicketError, match="ticket is damaged"):
        Ticket.load(tmp_path / "ticket")


@pytest.mark.parametrize("budget", [0, ENTRIES])
def test_nothing_and_everything(budget):
    model = start("fm")
    (ticket,) = cut_tickets(model, snapshot(model), [budget], 0, True, {})
    assert ticket.nnz == budget


def test_models_that_cannot():
    with pytest.raises(ValueError, match="`prune_linear` must be given to one of"):
        start("autoint")
    with pytest.raises(RunError, match="`model` must have a PEPEmbedding"):
        pruned_tables(tiny.model("fm", pruning="none"))
    with pytest.raises(RunError, match=f"all of the table's {ENTRIES:,} entries"):
        prune(start("fm"), tiny.DATA, budgets=[ENTRIES + 1])


def test_a_disk_without_room(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(RunError, match="Cannot write 320 bytes .*No space left.*set TMPDIR"):
        EntryScores(pruned_tables(start()))
