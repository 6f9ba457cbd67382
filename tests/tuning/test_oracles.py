"""The oracles, beside KerasTuner's own: each fault that is mended is shown to be one."""

import json
import shutil

import keras_tuner
import numpy as np
import pytest
from keras_tuner.src.engine.base_tuner import BaseTuner
from keras_tuner.src.engine.trial import TrialStatus

from pep_tf.errors import RunError
from pep_tf.tuning.oracles import ALGORITHMS, make_oracle
from pep_tf.tuning.tuner import Outcome
from tests.tuning.quick_search import Killed, oracle, quick, search, space, table

THEIRS = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "grid": keras_tuner.oracles.GridSearchOracle,
}


class TheirTuner(BaseTuner):
    """KerasTuner's tuner, killed in the `at`-th trial."""

    at = None
    calls = 0

    def run_trial(self, trial):
        type(self).calls += 1
        if self.calls == self.at:
            raise Killed
        hp = trial.hyperparameters
        return 0.7 - abs(hp.get("rate") - 0.02)


def their_search(folder, algorithm, at=None, trials=8):
    made = THEIRS[algorithm](
        objective=keras_tuner.Objective("default_objective", "min"),
        max_trials=trials,
        hyperparameters=space(),
        seed=3,
        **({"num_initial_points": 3} if algorithm == "bayesian" else {}),
    )
    made.verbose = 0
    TheirTuner.at, TheirTuner.calls = at, 0
    TheirTuner(made, directory=str(folder.parent), project_name=folder.name).search()
    return made


def their_search_killed(folder, algorithm, at, trials=8):
    with pytest.raises(Killed):
        their_search(folder, algorithm, at, trials)
    # The lock of a killed search is not another's: these are objects of one process.
    return their_search(folder, algorithm, trials=trials)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
class TestKerasTunersFaults:
    """When one of these fails, KerasTuner has mended it, and so may its counterpart be removed."""

    def test_bayesian_goes_on_with_another_random_state(self, tmp_path):
        whole = their_search(tmp_path / "whole", "bayesian")
        killed = their_search_killed(tmp_path / "killed", "bayesian", at=7)
        assert table(killed) != table(whole)

    def test_grid_ends_as_if_done(self, tmp_path):
        with pytest.raises(Killed):
            their_search(tmp_path / "s", "grid", at=4)
        with pytest.raises(KeyError):
            their_search(tmp_path / "s", "grid")
        assert len(their_search(tmp_path / "s", "grid").trials) < 8

    def test_a_kill_in_the_first_trial_leaves_nothing_to_reload(self, tmp_path):
        with pytest.raises(Killed):
            their_search(tmp_path / "s", "random", at=1)
        assert (tmp_path / "s" / "oracle.json").exists()
        made = THEIRS["random"](
            objective=keras_tuner.Objective("default_objective", "min"),
            max_trials=8,
            hyperparameters=space(),
        )
        TheirTuner(made, directory=str(tmp_path), project_name="s")
        assert not made.trials

    def test_a_truncated_state_is_fatal(self, tmp_path):
        their_search(tmp_path / "s", "random")
        path = tmp_path / "s" / "oracle.json"
        path.write_text(path.read_text()[:100])
        with pytest.raises(json.JSONDecodeError):
            their_search(tmp_path / "s", "random")

    def test_a_trial_written_before_its_oracle_runs_for_ever(self, tmp_path):
        their_search(tmp_path / "s", "random", trials=3)
        state = (tmp_path / "s" / "oracle.json").read_text()
        with pytest.raises(Killed):
            their_search(tmp_path / "s", "random", at=1, trials=4)
        (tmp_path / "s" / "oracle.json").write_text(state)  # as before the second write
        made = their_search(tmp_path / "s", "random", trials=4)
        assert made.trials["3"].status == TrialStatus.RUNNING

    @pytest.mark.parametrize("algorithm", ["random", "bayesian"])
    def test_trial_0_is_not_the_default(self, tmp_path, algorithm):
        made = their_search(tmp_path / "s", algorithm, trials=1)
        assert made.trials["0"].hyperparameters.values != default()

    def test_seed_0_is_no_seed(self):
        seeds = {keras_tuner.oracles.RandomSearchOracle(seed=0).seed for _ in range(20)}
        assert len(seeds) > 1


def default():
    return {entry.name: entry.default for entry in space().space}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trial_0_is_the_default(tmp_path, algorithm):
    made = search(tmp_path / "s", algorithm, trials=2)
    first = made.trials[min(made.trials)].hyperparameters.values
    assert {name: value for name, value in first.items() if "/" not in name} == default()


def test_hyperband_halves_and_ends_with_its_trials(tmp_path):
    shares = []

    def work(task):
        shares.append((task.share, task.parent))
        return Outcome(0.7 - abs(task.hp.get("rate") - 0.02))

    made = search(tmp_path / "s", "hyperband", work=work, trials=20)
    assert len(made.trials) == 20
    # 9 at a ninth, 3 of them at a third, 1 of those whole; 5 at a third, 2 of them whole
    assert [round(share * 9) for share, _ in shares] == [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] * 2
    continued = [parent.name for share, parent in shares if parent is not None]
    assert len(continued) == len(set(continued)) == 6
    scores = {trial_id: score for trial_id, _, _, score in table(made)}
    lowest = sorted(scores[f"{i:02d}"] for i in range(9))[:6]
    assert not [name for name in continued[:3] if scores[name.removeprefix("trial_")] in lowest]


def test_a_short_hyperband_halves_as_well(tmp_path):
    shares = []

    def work(task):
        shares.append(round(task.share * 3))
        return quick(task)

    search(tmp_path / "s", "hyperband", work=work, trials=6)
    assert shares == [1, 1, 1, 3, 3, 3]


def test_bayesian_tries_nothing_twice(tmp_path):
    """A space of six points, which KerasTuner's would propose again and again."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [1, 2, 3])
    hp.Boolean("b")
    made = make_oracle("bayesian", hp, max_trials=20, seed=0)
    made._set_project_dir(str(tmp_path), "s")
    seen = []
    while (trial := made.create_trial("tuner0")).status == TrialStatus.RUNNING:
        seen.append(json.dumps(trial.hyperparameters.values, sort_keys=True))
        made.update_trial(trial.trial_id, {"score": float(np.sin(len(seen)))})
        trial.status = TrialStatus.COMPLETED
        made.end_trial(trial)
    assert len(seen) == len(set(seen)) >= 5


def test_a_failed_trial_is_recorded_and_passed_over(tmp_path):
    def work(task):
        return Outcome(None, "the loss became nan") if task.trial_id == "2" else quick(task)

    made = search(tmp_path / "s", "bayesian", work=work)
    assert made.trials["2"].status == "FAILED"
    assert made.trials["2"].message == "the loss became nan"
    assert len(made.trials) == 8


def test_too_many_failures_end_the_search_and_are_kept(tmp_path):
    ran = []

    def work(task):
        ran.append(task.trial_id)
        return Outcome(None, "the loss became nan")

    message = "has stopped: 3 trials failed one after the other. The last: the loss became nan"
    for _ in range(2):
        with pytest.raises(RunError, match=message):
            search(tmp_path / "s", "random", work=work)
        assert ran == ["0", "1", "2"]
    assert len(search(tmp_path / "s", "random", max_failures=9).trials) == 8  # three failed before


def test_an_error_that_is_no_trials_fault_ends_the_search(tmp_path):
    def work(task):
        raise RunError("Cannot write: the disk is full")

    with pytest.raises(RunError, match="disk is full"):
        search(tmp_path / "s", "random", work=work)
    assert len(search(tmp_path / "s", "random").trials) == 8


def test_an_end_that_is_reported_twice_counts_once(tmp_path):
    made = oracle("grid")
    made._set_project_dir(str(tmp_path), "s")
    trial = made.create_trial("tuner0")
    made.update_trial(trial.trial_id, {"score": 0.7})
    trial.status = TrialStatus.COMPLETED
    made.end_trial(trial)
    made.end_trial(trial)
    assert made.end_order == ["0"]


def test_a_worker_waits_while_another_may_be_lost(tmp_path, monkeypatch):
    made = oracle("random", 1)
    made._set_project_dir(str(tmp_path), "s")
    made.shared, made.worker_timeout = True, 100.0
    clock = 0.0
    monkeypatch.setattr("pep_tf.tuning.durable.time.monotonic", lambda: clock)
    first = made.create_trial("one")
    assert made.create_trial("other").status == TrialStatus.IDLE
    clock = 90.0
    assert made.heard("one", first.trial_id)
    clock = 180.0
    assert made.create_trial("other").status == TrialStatus.IDLE
    clock = 191.0
    again = made.create_trial("other")
    assert (again.trial_id, again.status) == (first.trial_id, TrialStatus.RUNNING)
    assert not made.heard("one", first.trial_id)
    assert made.heard("other", first.trial_id)


def test_a_restarted_chief_leaves_trials_to_their_workers(tmp_path):
    made = oracle("random", 4)
    made._set_project_dir(str(tmp_path), "s")
    made.shared = True
    ids = [made.create_trial(name).trial_id for name in ("one", "other")]
    chief = oracle("random", 4)
    chief._set_project_dir(str(tmp_path), "s")
    chief.shared = True
    chief.reload()
    assert chief.create_trial("third").trial_id not in ids
    assert [chief.create_trial(name).trial_id for name in ("one", "other")] == ids


def test_a_lone_worker_takes_up_what_a_cluster_left(tmp_path):
    made = oracle("random", 3)
    made._set_project_dir(str(tmp_path), "s")
    made.shared = True
    for name in ("one", "other"):
        made.create_trial(name)
    assert [t.status for t in search(tmp_path / "s", "random", trials=3).trials.values()] == [
        "COMPLETED"
    ] * 3


def test_the_lock_is_freed_when_a_write_fails(tmp_path, monkeypatch):
    made = oracle("random")
    made._set_project_dir(str(tmp_path), "s")
    monkeypatch.setattr(
        "pep_tf.tuning.state_file.save_text", lambda *_: (_ for _ in ()).throw(RunError("full"))
    )
    with pytest.raises(RunError, match="full"):
        made.create_trial("tuner0")
    monkeypatch.undo()
    assert made.finished() is False
    shutil.rmtree(tmp_path / "s")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "annealing"}, "one of random, bayesian, hyperband, grid. Received: 'anneal"),
        ({"max_trials": 0}, "`max_trials` must be at least 1. Received: 0"),
        ({"max_failures": 0}, "`max_failures` must be at least 1. Received: 0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(RunError, match=message):
        make_oracle(
            **{
                "algorithm": "random",
                "hyperparameters": space(),
                "max_trials": 2,
                "seed": 0,
                **options,
            }
        )
