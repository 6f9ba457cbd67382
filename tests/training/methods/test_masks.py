"""Methods that choose entries: what they keep, and from where their tickets start."""

import numpy as np
import pytest

import pep_tf
from pep_tf.errors import ModelError, RunError
from pep_tf.training import METHODS, Evaluator, fit, prune, rounded
from pep_tf.training.methods import unpruned
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import Diary, Interrupt, assert_same

COUNTS = [32, 12, 3]
OTHERS = sorted(set(METHODS) - {"pep", "prefix", "darts"})  # which have tests of their own


def cut(method, folder=None, reporter=None, **options):
    model = tiny.model("fm")
    settings = tiny.settings(epochs=2, **options)
    return METHODS[method](model, tiny.DATA, settings, COUNTS, folder=folder, reporter=reporter)


@pytest.fixture(scope="module")
def results():
    return {method: cut(method) for method in OTHERS}


@pytest.mark.parametrize("method", OTHERS)
def test_tickets_keep_as_many_entries_as_asked_and_start_from_the_weights_before(method, results):
    result = results[method]
    before = snapshot(tiny.model("fm"))
    assert [t.nnz for t in result.tickets] == COUNTS
    for ticket in result.tickets:
        mask = ticket.mask()
        assert mask.sum() == ticket.budget
        assert ticket.facts["method"] == method
        assert not ticket.forced
        np.testing.assert_array_equal(
            ticket.initial["embedding/table"], before["embedding/table"][mask]
        )
    for large, small in zip(result.tickets, result.tickets[1:], strict=False):
        assert not (small.mask() & ~large.mask()).any()


def test_magnitude_keeps_the_largest_entries_of_the_table_that_a_baseline_trains(results):
    baseline = tiny.model("fm", pruning="none")
    best = fit(baseline, tiny.DATA, tiny.settings(epochs=2)).best_epoch
    size = np.abs(baseline.embedding.effective_table())
    ticket = results["magnitude"].tickets[1]
    assert ticket.step == best * tiny.BATCHES
    assert size[ticket.mask()].min() > size[~ticket.mask()].max()
    np.testing.assert_array_equal(np.abs(ticket.trained["embedding/table"]), size[ticket.mask()])


def test_in_rounds_a_ticket_is_cut_from_the_one_before_once_that_is_trained(results):
    large, small, _ = results["magnitude_rounds"].tickets
    retrained = large.model()
    fit(retrained, tiny.DATA, tiny.settings(epochs=2))
    size = np.abs(retrained.embedding.effective_table())
    assert size[small.mask()].min() > size[~small.mask()].max()
    np.testing.assert_array_equal(small.trained["bias"], retrained.bias.numpy())


def test_random_masks_are_those_of_the_seed():
    masks = [cut("random", seed=seed).tickets[0].mask() for seed in (0, 0, 1)]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


def test_a_training_that_was_cut_off_goes_on_to_the_same_tickets(results, tmp_path):
    method, often = "magnitude_rounds", {"checkpoint_every": 4, "check_every": 4}
    diary = Diary(at=11)
    with pytest.raises(Interrupt):
        cut(method, tmp_path, diary, **often)
    assert [stage for stage, *_ in diary.stages] == ["magnitude_rounds 1", "magnitude_rounds 2"]
    resumed = cut(method, tmp_path, **often)
    for one, other in zip(resumed.tickets, results[method].tickets, strict=True):
        assert_same(one.masks(), other.masks())
        assert_same(one.trained, other.trained)


def test_a_folder_of_another_method_is_refused(tmp_path):
    cut("magnitude", tmp_path, checkpoint_every=4, check_every=4)
    with pytest.raises(RunError, match="checkpoint of another model or stage"):
        prune(tiny.model("fm"), tiny.DATA, tiny.settings(), COUNTS, folder=tmp_path)


def test_what_takes_whole_tables_refuses_others_before_it_trains(monkeypatch):
    for module in (unpruned, rounded):
        monkeypatch.setattr(module, "is_sharded", lambda weight: True)
    with pytest.raises(RunError, match="'darts' needs whole tables on each worker"):
        cut("darts")
    with pytest.raises(
        ModelError, match="each process has a part, cannot be in lsq4: make the mod"
    ):
        rounded.rounded_model(tiny.model("fm", pruning="none"), "lsq4")


def test_the_public_call_retrains_and_refuses_what_has_no_effect():
    tickets = pep_tf.prune(tiny.model("fm"), tiny.DATA, budgets=[12], method="random")
    result = tickets[0].retrain(tiny.DATA, settings=tiny.settings(epochs=1))
    assert result.test == Evaluator(tickets[0].retrained)(tiny.DATA.test)
    with pytest.raises(RunError, match="`prune_epochs` has no effect on method='magnitude'"):
        pep_tf.prune(tiny.model("fm"), tiny.DATA, budgets=[12], method="magnitude", prune_epochs=3)
    with pytest.raises(RunError, match="`method` must be one of .*'random'.* Received: 'size'"):
        pep_tf.prune(tiny.model("fm"), tiny.DATA, budgets=[12], method="size")
    model = tiny.model("fm", embedding=pep_tf.PEPEmbedding(16, 4, gate="softplus"))
    with pytest.raises(RunError, match="must be 'pep' for a gate of one's own"):
        pep_tf.prune(model, tiny.DATA, budgets=[12], method="random")
