"""Trials on the tiny data set: what is cut, what is kept, what is run again."""

import dataclasses
import json
import threading

import numpy as np
import pytest

from pep_tf import training
from pep_tf.data import ArraySplit
from pep_tf.errors import RunError
from pep_tf.experiments.config import make_config
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training import Ticket
from pep_tf.tuning.client import LostTrial
from pep_tf.tuning.run import SearchOptions, SearchRun
from pep_tf.tuning.score import Objective
from pep_tf.tuning.space import PruningHyperModel, declared
from pep_tf.tuning.trial import PruningTrials, TrialResult, values_hash
from pep_tf.tuning.tuner import Task
from tests import tiny
from tests.training.interrupted import Diary, Interrupt, assert_same

QUICK = {
    "updates": "dense",
    "embedding_dim": tiny.DIM,
    "batch_size": 32,
    "learning_rate": 0.02,
    "threshold_init": -4.0,
    "threshold_learning_rate": 0.25,
    "threshold_l2": 1.0,
    "prune_epochs": 4,
    "check_every": 2,
    "checkpoint_every": 4,
    "budgets": ["50%", "20%", 3],
}


def trials(data=tiny.DATA, reporter=None, stop_hopeless=False, **options):
    config = make_config("tiny", 200, QUICK)
    return PruningTrials(
        PruningHyperModel(config, data),
        data,
        Objective.parse("area", config.budgets, tiny.ENTRIES),
        reporter=reporter,
        stop_hopeless=stop_hopeless,
        **options,
    )


def task(folder, name="0", share=1.0, parent=None, lost=None, **values):
    hp = declared(PruningHyperModel(make_config("tiny", 200, QUICK), tiny.DATA))
    hp.values.update(values)
    return Task(name, hp, folder / f"trial_{name}", share, parent, lost or threading.Event())


def result(folder, name="0"):
    found = TrialResult.load(folder / f"trial_{name}" / "result.json")
    assert found is not None
    return dataclasses.replace(found, seconds=0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    trials()(task(folder))
    return folder


def test_the_curve_is_that_of_the_cut_tickets(whole):
    found = result(whole)
    assert [point.budget for point in found.curve] == [32, 12, 3]
    for point in found.curve:
        ticket = Ticket.load(whole / "trial_0" / f"ticket_{point.budget}.safetensors")
        model = ticket.model("trained")
        assert point.validation_auc == training.Evaluator(model)(tiny.DATA.validation).auc
        assert point.nnz == ticket.nnz == point.budget
        assert point.parameters == point.nnz + 16 + 1  # first-order weights and bias
    assert 0.5 < found.score < 1
    assert found.error is None
    assert not found.stopped


def test_a_look_half_way_leaves_no_trace(whole, tmp_path):
    trials(stop_hopeless=True)(task(tmp_path))
    assert result(tmp_path) == result(whole)


def test_what_is_done_is_not_run_again(whole):
    diary = Diary()
    outcome = trials(reporter=diary)(task(whole))
    assert outcome.score == result(whole).score
    assert diary.stages == []


@pytest.mark.parametrize("at", [5, 10])
def test_cut_off_and_taken_up(whole, tmp_path, at):
    with pytest.raises(Interrupt):
        trials(reporter=Diary(at=at), stop_hopeless=True)(task(tmp_path))
    trials(stop_hopeless=True)(task(tmp_path))
    assert result(tmp_path) == result(whole)


def test_a_checkpoint_of_other_values_is_not_taken_up(whole, tmp_path):
    with pytest.raises(Interrupt):
        trials(reporter=Diary(at=9))(task(tmp_path, l2=2e-6))
    assert (tmp_path / "trial_0" / "checkpoint.safetensors").exists()
    trials()(task(tmp_path))
    assert result(tmp_path) == result(whole)


def test_a_result_of_other_values_is_not_taken_for_ones_own(whole, tmp_path):
    trials()(task(tmp_path, threshold_init=-3.0))
    other = result(tmp_path)
    trials()(task(tmp_path))
    assert result(tmp_path) == result(whole) != other


def test_damaged_files_are_made_again(whole, tmp_path):
    with pytest.raises(Interrupt):
        trials(reporter=Diary(at=9))(task(tmp_path))
    for name in ("checkpoint.safetensors", "result.json"):
        (tmp_path / "trial_0" / name).write_bytes(b"half")
    trials()(task(tmp_path))
    assert result(tmp_path) == result(whole)


def test_a_checkpoint_carries_the_hash_of_the_values(tmp_path):
    with pytest.raises(Interrupt):
        trials(reporter=Diary(at=9))(task(tmp_path))
    path = tmp_path / "trial_0" / "checkpoint.safetensors"
    identity = values_hash(dict(task(tmp_path).hp.values))
    assert identity.encode() in path.read_bytes()
    assert identity != values_hash(dict(task(tmp_path, l2=2e-6).hp.values))


def test_a_hash_depends_on_names_and_values_alone():
    assert values_hash({"a": 1, "b": 0.5}) == values_hash({"b": np.float64(0.5), "a": 1})
    assert len({values_hash(v) for v in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"})}) == 4


def test_rungs_end_where_a_whole_pruning_ends(whole, tmp_path):
    """Each cuts at every budget; the thresholds take the same way whatever the rung's length."""
    rungs = trials(keep_checkpoints=True)
    parent = None
    for name, share in (("0", 0.25), ("2", 1.0)):
        rungs(task(tmp_path, name, share, parent))
        parent = tmp_path / f"trial_{name}"
        assert [point.nnz for point in result(tmp_path, name).curve] == [32, 12, 3]
    assert result(tmp_path, "0").epochs == 1
    assert result(tmp_path, "2") == result(whole)
    for budget in (32, 12, 3):
        one, other = (
            Ticket.load(folder / f"ticket_{budget}.safetensors")
            for folder in (tmp_path / "trial_2", whole / "trial_0")
        )
        assert (one.step, one.forced) == (other.step, other.forced)
        assert_same(one.trained, other.trained)


def test_a_hopeless_trial_is_given_up_half_way(tmp_path):
    for name in "1234":
        TrialResult("other", [], 0.99, 2, 1.0).save(tmp_path / f"trial_{name}" / "half.json")
    diary = Diary()
    outcome = trials(reporter=diary, stop_hopeless=True)(task(tmp_path))
    assert result(tmp_path).stopped
    assert result(tmp_path).epochs == 2
    assert outcome.score == result(tmp_path).score < 0.99
    assert len(diary.stages) == 1


def test_a_loss_that_is_not_finite_is_the_trials_own_fault(tmp_path):
    train = ArraySplit(tiny.DATA.train.ids, tiny.DATA.train.labels, np.arange(200))
    train.labels = np.full(200, np.nan, np.float32)
    outcome = trials(data=dataclasses.replace(tiny.DATA, train=train))(task(tmp_path))
    assert outcome.score is None
    assert "loss became nan" in outcome.error
    assert result(tmp_path).curve == []
    assert result(tmp_path).error == outcome.error


def test_a_folder_that_cannot_be_written_is_not(tmp_path):
    (tmp_path / "trial_0").write_text("a file")
    with pytest.raises(RunError, match="Cannot write"):
        trials()(task(tmp_path))


def test_a_trial_that_was_given_away_ends(tmp_path):
    lost = threading.Event()
    lost.set()
    with pytest.raises(LostTrial):
        trials()(task(tmp_path, lost=lost))
    assert not (tmp_path / "trial_0" / "result.json").exists()


def test_a_table_smaller_than_a_budget_is_kept_whole(tmp_path):
    trials()(task(tmp_path, embedding_dim=1))
    curve = result(tmp_path).curve
    assert [(point.budget, point.nnz) for point in curve] == [(32, 16), (12, 12), (3, 3)]


def test_other_methods_are_scored_by_what_a_run_of_them_trains(tmp_path):
    quick = {
        name: QUICK[name] for name in ("updates", "embedding_dim", "batch_size", "learning_rate")
    }
    quick |= {"method": "hash", "epochs": 1, "budgets": ("50%", "25%"), "export_format": "none"}
    config = make_config("tiny", 200, quick)
    hypermodel = PruningHyperModel(config, tiny.DATA)
    assert [entry.name for entry in declared(hypermodel).space] == [
        *("embedding_dim", "learning_rate", "l2")
    ]
    with pytest.raises(RunError, match="`tune` must name some of embedding_dim, learning_rate"):
        PruningHyperModel(config, tiny.DATA, ["granularity"])
    objective = Objective.parse("area", config.budgets, tiny.ENTRIES)
    own = task(tmp_path)
    own.hp.values = declared(hypermodel).values
    outcome = PruningTrials(hypermodel, tiny.DATA, objective)(own)
    rows = Run(config, tiny.DATA, RunFolder(tmp_path / "run"), training.Silent()).smaller()
    found = result(tmp_path)
    assert [(p.budget, p.nnz) for p in found.curve] == [(32, rows[0].nnz), (16, rows[1].nnz)]
    assert [p.validation_auc for p in found.curve] == [row.validation_auc for row in rows]
    assert outcome.score == objective.score(found.curve)
    kept = json.loads((tmp_path / "retrained" / f"0_{rows[1].nnz}.json").read_text())
    assert [kept[n] for n in ("validation_auc", "test_auc")] == [
        rows[1].validation_auc,
        rows[1].test_auc,
    ]
    with pytest.raises(RunError, match="hyperband begins with a part .* method=hash has not"):
        SearchRun(hypermodel, tmp_path, SearchOptions(algorithm="hyperband"), training.Silent())
