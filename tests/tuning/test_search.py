"""The search from end to end: the command line, killed and resumed, and from Python."""

import json
import os
import random
import shutil
import sys
import time

import pytest

from pep_tf import tuning
from pep_tf.errors import RunError
from pep_tf.experiments.config import load_study, make_config
from pep_tf.tuning import Search
from pep_tf.tuning import run as search_run
from pep_tf.tuning import search as command
from pep_tf.tuning.retrain import write_study
from pep_tf.tuning.score import Point
from pep_tf.tuning.space import PruningHyperModel
from pep_tf.tuning.trial import RESULT, TrialResult
from pep_tf.tuning.tuner import Outcome, Task
from tests import tiny
from tests.experiments.command import called, start, wait_for
from tests.training.interrupted import Diary
from tests.tuning.quick_search import Killed
from tests.tuning.test_trial import QUICK

SEARCH = [sys.executable, "-m", "pep_tf.tuning.search"]
SHORT = [
    "--dataset=movielens-small",
    "--algorithm=bayesian",
    "--max_trials=3",
    "--embedding_dim=8",
    "--prune_epochs=2",
    "--epochs=1",
    "--budgets=20%,1000",
    "--checkpoint_every=50",
]


def tune(folder, **changes):
    return tuning.tune(tiny.DATA, folder, **{**QUICK, "epochs": 1, "max_trials": 2, **changes})


def without_times(search: Search) -> list:
    return [(t.id, t.values, t.status, t.score, t.curve, t.stopped) for t in search.trials]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "s"
    return folder, tune(folder, algorithm="random", max_trials=3)


def test_the_record(found):
    folder, search = found
    record = json.loads((folder / "search.json").read_text())
    assert (record["kind"], record["direction"], record["dataset"]) == ("search", "max", "tiny")
    assert (record["algorithm"], record["objective"]) == ("random", "area")
    assert record["budgets"] == [32, 12, 3]
    assert set(record["space"]) == set(record["trials"][0]["values"])
    assert [trial["id"] for trial in record["trials"]] == ["0", "1", "2"]
    for trial in record["trials"]:
        assert trial["status"] == "COMPLETED"
        assert [point["budget"] for point in trial["curve"]] == [32, 12, 3]
        assert trial["seconds"] > 0
    assert record["best"] == max(record["trials"], key=lambda trial: trial["score"])["id"]
    assert Search.load(folder) == search


def test_another_model(tmp_path):
    search = tune(tmp_path / "s", model="dcn", tune=["dropout"], max_trials=1)
    assert list(search.space) == ["dropout"]
    assert search.trials[0].status == "COMPLETED"
    assert search.pareto


def test_the_front_is_retrained(found):
    folder, search = found
    aucs = [point.cut_validation_auc for point in search.pareto]
    assert aucs == sorted(aucs, reverse=True)
    assert all(0 < point.test_auc < 1 for point in search.pareto)
    assert len(list((folder / "retrained").glob("*.json"))) == len(search.pareto)
    assert not list((folder / "retrained").glob("*.safetensors"))


def test_the_hparams_table_and_the_histograms(found):
    folder, search = found
    board = folder / "tensorboard"
    for trial in search.trials:
        assert list((board / f"trial_{trial.id}").glob("events.*"))
        [events] = (board / f"trial_{trial.id}" / "result").glob("events.*")
        assert b"threshold_init" in events.read_bytes()
    events_of_halves = (board / "trial_0").glob("events.*")
    assert any(b"weights" in events.read_bytes() for events in events_of_halves)
    assert list((board / "hparams").glob("events.*"))


def test_a_finished_search_is_only_read_again(found):
    folder, search = found
    with pytest.raises(RunError, match="already holds this run. Add --resume"):
        tune(folder, algorithm="random", max_trials=3)
    again = tune(folder, algorithm="random", max_trials=3, resume=True)
    assert (again.trials, again.pareto) == (search.trials, search.pareto)


def test_a_page_that_shows_more_stays_and_the_search_ends_all_the_same(found, tmp_path):
    folder = shutil.copytree(found[0], tmp_path / "copy")
    page = folder / "report.html"
    page.write_text(
        page.read_text().replace("&#34;trial 0&#34;", "&#34;trial 0&#34;, &#34;trial 9&#34;")
    )
    before, diary = page.read_bytes(), Diary()
    tune(folder, algorithm="random", max_trials=3, resume=True, reporter=diary)
    assert page.read_bytes() == before
    assert "warning: no report" in diary.notes[-1]
    assert "lacks trial 9." in diary.notes[-1]


def test_a_damaged_file_of_a_retrained_ticket_is_named(found, tmp_path):
    folder = shutil.copytree(found[0], tmp_path / "copy")
    path = min((folder / "retrained").glob("*.json"))
    for text in ("", '{"test_auc": 0.5}', "[]"):
        path.write_text(text)
        with pytest.raises(RunError, match=f"retrained/{path.name} is damaged .*; delete it"):
            tune(folder, algorithm="random", max_trials=3, resume=True)


def test_a_trial_whose_result_is_gone_is_named(found, tmp_path):
    folder = shutil.copytree(found[0], tmp_path / "copy")
    for damage in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        damage(folder / "trial_1" / "result.json")
        with pytest.raises(RunError, match="trial_1/result.json is missing or damaged, though the"):
            tune(folder, algorithm="random", max_trials=3, resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune": ["l2"]}, "configuration: .*search space granularity given, here none"),
        ({"algorithm": "grid"}, "configuration: search algorithm random, here grid"),
        ({"budgets": ["20%"]}, "configuration: budgets .*, here 20%"),
        ({"l2": 0.5}, r"configuration: l2 1e-05, here 0.5"),
    ],
)
def test_the_folder_of_another_search(found, changes, message):
    with pytest.raises(RunError, match=message):
        tune(found[0], **{"algorithm": "random", "max_trials": 3, "resume": True, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune": []}, "search space is empty"),
        ({"budgets": [65]}, "all of the table's 64 entries. Received: 65"),
        ({"budgets": ["50%", 0]}, "must keep at least one"),
        ({"objective": "auc@0.1"}, "which is none of the budgets"),
        ({"algorithm": "simplex"}, "`algorithm` must be one of"),
        ({"max_trials": 0}, "`max_trials` must be at least 1"),
        ({"worker_timeout": 0}, "`worker_timeout` must be above 0"),
        ({"colour": "red"}, "colour"),
        ({"chief_timeout": 5}, "`chief_timeout` has no effect on a search of one process"),
        ({"worker_timeout": 120.0}, "`worker_timeout` has no effect on a search of one process"),
        (
            {"algorithm": "hyperband", "stop_hopeless": True},
            "`stop_hopeless` has no effect with algorithm=hyperband",
        ),
        ({"seeds": 2}, "`seeds` has no effect here: a search has one seed"),
        ({"seeds": 1}, "`seeds` has no effect here"),
        ({"baseline_dims": (2,)}, "`baseline_dims` has no effect here: a search trains no uniform"),
        ({"export_format": "both"}, "`export_format` has no effect here: a search exports nothing"),
        ({"export_dtype": "int8"}, "`export_dtype` has no effect here: a search exports nothing"),
        ({"cross_layers": 2}, "`cross_layers` has no effect with model=fm: it is for dcn"),
        ({"resume": True}, "^--resume: .*s holds no run"),
    ],
)
def test_bad_input_leaves_no_folder(tmp_path, changes, message):
    with pytest.raises(RunError, match=message):
        tune(tmp_path / "s", **changes)
    assert not (tmp_path / "s").exists()


def test_a_hypermodel_has_all_of_the_configuration(tmp_path):
    space = PruningHyperModel(make_config("tiny", 200, QUICK), tiny.DATA)
    for beside in ({"tune": ["l2"]}, {"l2": 0.1}, {"config": space.base}):
        with pytest.raises(RunError, match="`hypermodel` has a configuration and a space of its"):
            tuning.tune(tiny.DATA, tmp_path / "s", hypermodel=space, **beside)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=2"], "`seeds` has no effect here: a search has one seed"),
        (["--baseline_dims=2"], "`baseline_dims` has no effect here: a search trains no uniform"),
        (["--export_format=both"], "`export_format` has no effect here: a search exports nothing"),
        (["--export_dtype=int8"], "`export_dtype` has no effect here: a search exports nothing"),
        (["--dry_run"], "`dry_run` has no effect here: pep_tf.experiments.main --dry_run tells"),
        (["--log_format=json"], "`log_format` has no effect here: a search reports as text"),
        (["--chief_timeout=60"], "`chief_timeout` has no effect on a search of one process"),
        (["--algorithm=hyperband", "--stop_hopeless"], "`stop_hopeless` has no effect with alg"),
        (["--cross_rank=2"], "`cross_rank` has no effect with model=fm: it is for dcn."),
        (["--ticket_init=random", "--no_retrain"], "`ticket_init` has no effect with no_retrain"),
        (["--dataset=movielens-small", "--tune="], "error: The search space is empty"),
    ],
    ids=str,
)
def test_a_flag_that_has_no_effect_is_refused(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "use_memory_pool", lambda: None)  # it sets the environment
    assert command.main(flags) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def quick(task: Task) -> Outcome:
    """A trial without training."""
    TrialResult("", [Point(32, 33, 0.7, 32)], 0.7, 1, 0.1).save(task.folder / RESULT)
    return Outcome(0.7)


def test_a_study_is_read_whatever_its_folder_is_called(found, tmp_path):
    config = make_config("tiny", 200, {**QUICK, "l2": 0.5})
    folder = tmp_path / 'run\\xyz """\nCONFIG = 1 #'
    write_study(found[1], config, tiny.DATA, folder)
    assert load_study(folder / "best.py")["l2"] == 0.5


def test_a_space_that_is_used_up_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(search_run, "PruningTrials", lambda *_, **__: quick)
    monkeypatch.setattr(search_run, "write_report", lambda folders: None)
    diary = Diary()
    options = {"algorithm": "grid", "tune": ["embedding_dim"], "max_trials": 9, "no_retrain": True}
    search = tune(tmp_path / "s", **options, tensorboard=False, reporter=diary)
    assert sorted(trial.values["embedding_dim"] for trial in search.trials) == [2, 4]
    told = "the search ended after 2 of at most 9 trials: nothing of its space is left to try."
    assert [note for note in diary.notes if note.startswith(told)]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot write .*choose another folder"):
        tune(tmp_path / "file" / "s")


def test_the_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError, match="holds files but no run"):
        tune(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The command on the bundled data set: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("whole") / "s"
    code, out, err = called(*SHORT, f"--run_dir={folder}", module=command)
    assert code == 0, err
    return folder, out, err


def test_it_tells_of_each_trial_and_ends_with_the_front(whole):
    _, out, err = whole
    assert all(f"({n} of 3)" in err for n in range(1, 4))
    assert "test AUC" in out
    assert "best: trial" in out
    assert "--config=" in out


def test_killed_three_times_it_finds_the_same(whole, tmp_path, monkeypatch):
    folder = tmp_path / "killed"
    flags = [*SHORT, f"--run_dir={folder}"]
    process = start(*flags, module=SEARCH)  # kill -9, in the first trial
    wait_for(folder / "oracle.json")
    time.sleep(random.uniform(0, 1))
    process.kill()
    process.communicate()
    for _ in range(2):  # twice in this process, at any of the writes that follow
        kills = iter([*[False] * random.randrange(12), True])
        replace = os.replace

        def dies(*names, kills=kills, replace=replace):
            if next(kills):
                raise Killed
            replace(*names)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dies)
            with pytest.raises(Killed):
                called(*flags, "--resume", module=command)
    code, _, err = called(*flags, "--resume", module=command)
    assert code == 0, err
    assert without_times(Search.load(folder)) == without_times(Search.load(whole[0]))
    assert Search.load(folder).pareto == Search.load(whole[0]).pareto


def test_the_study_file_runs_as_it_is(whole, tmp_path):
    folder, _, _ = whole
    path = tmp_path / "best"
    code, out, err = called(
        f"--config={folder / 'best.py'}", f"--run_dir={path}", "--export_format=none"
    )
    assert code == 0, err
    assert not (path / "export").exists()
    assert "SavedModel" not in out
    search = Search.load(folder)
    config = json.loads((path / "config.json").read_text())
    for name, value in search.trial(search.best).values.items():
        assert config[name] == value
    rows = json.loads((path / "results.json").read_text())
    assert [row["nnz"] for row in rows[1:]] == search.budgets
    assert {row["export_bytes"] for row in rows} == {None}
    assert config["epochs"] == 1
