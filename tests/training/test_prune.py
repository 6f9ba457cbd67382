import dataclasses

import keras
import numpy as np
import pytest

from pep_tf.data import ArraySplit
from pep_tf.errors import RunError, TicketError
from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from pep_tf.training import Evaluator, Ticket, prune
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import Diary, Interrupt, assert_same

BUDGETS = [0.5, "20%", 3]
COUNTS = [32, 12, 3]
# Thresholds climb by about 0.25 per step, whatever the loss says: from -4 to 0 in 16 of the 28 steps.
QUICK = {
    "threshold_learning_rate": 0.25,
    "threshold_l2": 1.0,
    "prune_epochs": 4,
    "check_every": 2,
    "checkpoint_every": 4,
}


def run(model, budgets=BUDGETS, folder=None, reporter=None, data=tiny.DATA, **options):
    told = {name: options.pop(name) for name in ("until", "run_id") if name in options}
    settings = tiny.settings(**{**QUICK, **options})
    return prune(model, data, settings, budgets, folder=folder, reporter=reporter, **told)


def start(seed: int = 0, **options) -> keras.Model:
    return tiny.model("fm", **{"threshold_init": -4.0, "seed": seed, **options})


def assert_same_tickets(one: list[Ticket], other: list[Ticket]) -> None:
    assert [t.budget for t in one] == [t.budget for t in other]
    for a, b in zip(one, other, strict=True):
        assert (a.nnz, a.step, a.forced, a.facts) == (b.nnz, b.step, b.forced, b.facts)
        assert_same(a.masks(), b.masks())
        assert_same(a.initial, b.initial)
        assert_same(a.trained, b.trained)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: result, initial weights, its reporter, its folder, its model."""
    model, diary, folder = start(), Diary(), tmp_path_factory.mktemp("whole")
    initial = snapshot(model)
    result = run(model, folder=folder, reporter=diary)
    return result, initial, diary, folder, model


def test_each_budget_is_reached_exactly_and_by_the_thresholds(whole):
    result = whole[0]
    assert [t.budget for t in result.tickets] == COUNTS
    for ticket in result.tickets:
        assert ticket.nnz == ticket.mask().sum() == ticket.budget
        assert not ticket.forced
    steps = [t.step for t in result.tickets]
    assert steps == sorted(steps)
    assert 0 < steps[0] <= steps[-1] < 28


def test_a_ticket_is_cut_at_the_first_check_within_its_budget(whole):
    for ticket in whole[0].tickets:
        within = [seen["step"] for seen in whole[0].history if seen["nnz"] <= ticket.budget]
        assert ticket.step == within[0]


def test_it_ends_with_the_last_budget(whole):
    result = whole[0]
    assert result.history[-1]["step"] == result.tickets[-1].step
    assert result.epochs == -(-result.tickets[-1].step // tiny.BATCHES)
    assert result.seconds > 0


def test_tickets_start_from_the_initial_weights(whole):
    result, initial, *_ = whole
    for ticket in result.tickets:
        expected = {n: v for n, v in initial.items() if n != "embedding/thresholds"}
        expected["embedding/table"] = initial["embedding/table"][ticket.mask()]
        assert_same(ticket.initial, expected)
        assert not np.array_equal(ticket.initial["bias"], ticket.trained["bias"])


def test_facts_name_data_and_splits(whole):
    for ticket in whole[0].tickets:
        assert ticket.facts["dataset"] == "tiny"
        assert ticket.facts["split_md5"] == {
            "train": tiny.DATA.train.md5,
            "validation": tiny.DATA.validation.md5,
            "test": tiny.DATA.test.md5,
        }


def test_history_and_progress(whole):
    result, _, diary, *_ = whole
    assert diary.stages == [("prune", 28, 0)]
    assert diary.finished
    assert diary.notes == []
    checks = [seen["step"] for seen in result.history]
    ends = [step for step in range(1, checks[-1] + 1) if step % 2 == 0 or step % 7 == 0]
    assert checks == ends
    for seen, told in zip(result.history, diary.updates, strict=True):
        assert told["nnz"] == seen["nnz"]
        assert ("validation_auc" in seen) == (seen["step"] % 7 == 0)
    thresholds = [seen["threshold"] for seen in result.history]
    assert thresholds == sorted(thresholds)
    for seen in result.history:
        assert seen["threshold_low"] <= seen["threshold"] <= seen["threshold_high"]
    nnz = [seen["nnz"] for seen in result.history]
    assert nnz[0] > 50
    assert nnz[-1] <= 3


def test_tickets_are_saved(whole):
    result, _, _, folder, _ = whole
    loaded = [Ticket.load(folder / f"ticket_{count}.safetensors") for count in COUNTS]
    assert_same_tickets(loaded, result.tickets)


def test_the_model_is_left_as_it_stands(whole):
    model = whole[4]
    thresholds = model.embedding.thresholds.numpy()
    assert thresholds.mean() == pytest.approx(whole[0].history[-1]["threshold"])
    assert np.isfinite(Evaluator(model)(tiny.DATA.test).logloss)


def test_rowwise_updates_leave_the_table_up_to_date():
    """The rows that no batch held as well, such as those of a user who is not in the data."""
    model = start()
    ids = tiny.DATA.train.ids.copy()
    ids[ids[:, 0] == 4, 0] = 0
    train = ArraySplit(ids, tiny.DATA.train.labels, np.arange(200))
    run(model, updates="rowwise", data=dataclasses.replace(tiny.DATA, train=train))
    dense = start()
    run(dense, data=dataclasses.replace(tiny.DATA, train=train))
    for name in ("table", "thresholds"):
        stored, expected = getattr(model.embedding, name), getattr(dense.embedding, name)
        np.testing.assert_allclose(stored[4], expected[4], atol=0.02)


@pytest.mark.parametrize("at", [1, 6, "last"])
def test_interrupted_and_resumed_is_as_if_nothing_had_happened(whole, tmp_path, at):
    at = len(whole[2].updates) if at == "last" else at
    with pytest.raises(Interrupt):
        run(start(), folder=tmp_path, reporter=Diary(at=at))
    begun = (tmp_path / "checkpoint.safetensors").exists()
    assert begun == (at > 1)
    diary = Diary()
    result = run(start(seed=8 if begun else 0), folder=tmp_path, reporter=diary)
    assert (diary.stages[0][2] > 0) == begun
    assert_same_tickets(result.tickets, whole[0].tickets)
    assert result.history == whole[0].history
    assert result.epochs == whole[0].epochs


def test_a_run_that_was_done_gives_the_same_tickets_again(whole):
    result = run(start(seed=8), folder=whole[3])
    assert_same_tickets(result.tickets, whole[0].tickets)


def test_other_budgets_than_those_of_the_folder(tmp_path):
    options = {"folder": tmp_path, "check_every": 7, "checkpoint_every": 7}
    result = run(start(), budgets=[64, 1], prune_epochs=1, **options)
    assert [t.nnz for t in result.tickets] == [64, 1]
    with pytest.raises(RunError, match=r"has cut tickets of \[64\] entries.*Use the same budgets"):
        run(start(), budgets=[5], **options)


def test_thresholds_that_do_not_arrive_are_helped_at_the_end():
    model, diary = start(threshold_init=-15.0), Diary()
    initial = snapshot(model)
    result = run(
        model,
        reporter=diary,
        budgets=[tiny.ENTRIES, 10, 4, 1],
        threshold_learning_rate=None,
        prune_epochs=2,
    )
    assert [t.nnz for t in result.tickets] == [tiny.ENTRIES, 10, 4, 1]
    assert [t.forced for t in result.tickets] == [False, True, True, True]
    assert [t.step for t in result.tickets] == [2, 14, 14, 14]
    assert result.epochs == 2
    score = np.concatenate([score for *_, score in model.embedding.blocks()])
    for ticket in result.tickets[1:3]:
        mask = ticket.mask()
        assert score[mask].min() > score[~mask].max()
        np.testing.assert_array_equal(
            ticket.initial["embedding/table"], initial["embedding/table"][mask]
        )
    forced = [note for note in diary.notes if "Thresholds alone did not reach" in note]
    assert [note.split("reach ")[1].split()[0] for note in forced] == ["10", "4", "1"]
    # and a word about it at the end of the first epoch, not only when it is too late
    assert "leaves about 64 entries: 10 entries, 4 entries, 1 entries will be cut" in diary.notes[0]
    assert len(diary.notes) == 4


def test_budgets_that_thresholds_have_passed_by_far_are_told():
    diary = Diary()
    result = run(start(threshold_init=5.0), budgets=[32, 12], reporter=diary)
    assert [(t.nnz, t.step, t.forced) for t in result.tickets] == [(32, 2, False), (12, 2, False)]
    assert [t.model("trained").embedding.nnz() for t in result.tickets] == [0, 0]
    (note,) = diary.notes
    assert "passed 32 entries, 12 entries: at step 2 they leave 0. What a ticket keeps" in note
    assert note.endswith("lower --check_every or --threshold_learning_rate.")


@pytest.mark.parametrize("threshold_init", [-4.0, -1000.0])
def test_the_early_word_with_one_check_an_epoch(threshold_init):
    diary = Diary()
    run(start(threshold_init=threshold_init), reporter=diary, check_every=100)
    early = [note for note in diary.notes if "steps left, which leaves about" in note]
    assert len(early) == (threshold_init == -1000.0)


def test_a_resumed_run_does_not_repeat_its_word(tmp_path):
    options = {"threshold_learning_rate": None, "folder": tmp_path, "checkpoint_every": 2}
    with pytest.raises(Interrupt):
        run(start(threshold_init=-15.0), reporter=Diary(at=7), **options)
    diary = Diary()
    run(start(threshold_init=-15.0), reporter=diary, **options)
    assert not [note for note in diary.notes if "steps left" in note]


def test_shared_thresholds_reach_each_budget_exactly_too():
    result = run(start(granularity="field_dim"), budgets=[40, 7])
    assert [t.nnz for t in result.tickets] == [40, 7]


def test_a_model_with_an_embedding_of_ones_own():
    embedding = PEPEmbedding(16, 4, threshold_init=-4.0)
    [ticket] = run(FM(tiny.FIELDS, embedding), budgets=[5]).tickets
    assert ticket.model().embedding.nnz() == 5


def test_budgets_by_table():
    model = start(prune_linear=True)
    tickets = run(model, budgets=[{"embedding": "20%"}, {"embedding": 5, "first_order": 4}]).tickets
    kept = [{key: int(mask.sum()) for key, mask in t.masks().items()} for t in tickets]
    assert kept == [{"embedding": 12, "first_order": 16}, {"embedding": 5, "first_order": 4}]
    assert [t.budget for t in tickets] == [28, 9]
    # What no budget takes anything from is not thresholded either.
    [ticket] = run(model := start(prune_linear=True), budgets={"embedding": 5}).tickets
    assert ticket.budgets == {"embedding": 5, "first_order": 16}
    first_order = model.first_order
    np.testing.assert_array_equal(first_order.effective_table(), first_order.table.numpy())


def test_budgets_by_table_after_an_interruption(tmp_path):
    budgets = [{"embedding": 30}, {"embedding": 5}]
    whole = run(start(prune_linear=True), budgets=budgets, folder=tmp_path / "whole")
    with pytest.raises(Interrupt):
        run(start(prune_linear=True), budgets, tmp_path / "cut", Diary(at=9))
    result = run(start(8, prune_linear=True), budgets, tmp_path / "cut")
    assert_same_tickets(result.tickets, whole.tickets)
    assert result.history == whole.history


def test_a_damaged_ticket_in_the_folder(tmp_path):
    with pytest.raises(Interrupt):
        run(start(), budgets=[64, 1], folder=tmp_path, reporter=Diary(at=3))
    (tmp_path / "ticket_64.safetensors").write_bytes(b"half")
    with pytest.raises(TicketError, match="ticket_64.safetensors is damaged"):
        run(start(), budgets=[64, 1], folder=tmp_path)


def test_a_fact_that_a_checkpoint_lacks_is_named(tmp_path):
    with pytest.raises(Interrupt):
        run(start(), folder=tmp_path, reporter=Diary(at=4))
    path = tmp_path / "checkpoint.safetensors"
    arrays, saved = load_state(path, "a checkpoint")
    model = start()
    for name in ("history", "warned", "seconds", "cut"):
        facts = {key: value for key, value in saved["facts"].items() if key != name}
        save_state(path, arrays, {**saved, "facts": facts})
        with pytest.raises(RunError, match=f"checkpoint.safetensors is damaged .*'{name}'"):
            run(model, folder=tmp_path)


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(Interrupt):
        run(start(), folder=tmp_path, reporter=Diary(at=4))
    saved = (tmp_path / "checkpoint.safetensors").read_bytes()
    train = ArraySplit(tiny.DATA.train.ids, tiny.DATA.train.labels, np.arange(200))
    spoilt = dataclasses.replace(tiny.DATA, train=train)
    assert spoilt.identity == tiny.DATA.identity  # found before
    train.labels = np.full(200, np.nan, np.float32)
    with pytest.raises(
        RunError, match="loss became nan in stage 'prune', between step 4 and step 6"
    ):
        run(start(), folder=tmp_path, data=spoilt)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == saved


@pytest.mark.parametrize("until", [[1], [1, 2], [2, 4]])
def test_a_halt_leaves_no_trace(whole, tmp_path, until):
    for epochs in until:
        part = run(start(), folder=tmp_path, until=epochs)
        assert [t.nnz for t in part.tickets] == COUNTS
        assert part.history[-1]["step"] <= epochs * tiny.BATCHES
        forced = [t for t in part.tickets if t.forced]
        assert all(t.step == epochs * tiny.BATCHES for t in forced)
        assert bool(forced) == (epochs < 4)
    result = run(start(), folder=tmp_path)
    assert_same_tickets(result.tickets, whole[0].tickets)
    assert result.history == whole[0].history


def test_a_halt_is_not_told_as_a_failure_of_the_thresholds():
    diary = Diary()
    run(start(threshold_init=-15.0), reporter=diary, until=1)
    assert not [note for note in diary.notes if "Thresholds alone" in note]


def test_a_checkpoint_knows_its_run(tmp_path):
    run(start(), folder=tmp_path, until=1, run_id="one")
    with pytest.raises(RunError, match="begun with other values. Use another folder"):
        run(start(), folder=tmp_path, run_id="another")
    run(start(), folder=tmp_path, run_id="one")


def test_histograms_of_thresholds_and_weights_once_an_epoch():
    class Histograms(Diary):
        def histograms(self, step, **arrays):
            seen.append((step, {name: len(np.ravel(array)) for name, array in arrays.items()}))

    seen = []
    run(start(), budgets=[1], reporter=Histograms(), prune_epochs=2)
    assert seen == [(step, {"thresholds": 64, "weights": 64}) for step in (7, 14)]
