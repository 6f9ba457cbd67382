import pathlib

import pytest

import pep_tf
from pep_tf.data import load
from pep_tf.data.clicklogs import Transform, load_criteo
from pep_tf.data.clicklogs.load import load_transform
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.synthetic import write_raw_text
from pep_tf.errors import PepError, RunError
from pep_tf.experiments.config import load_study
from pep_tf.experiments.report import write_report
from pep_tf.experiments.results import Results
from pep_tf.export.inspect import inspect
from pep_tf.paths import resolve, shown
from pep_tf.tuning import Search
from tests import tiny
from tests.experiments.report import folders


def test_spellings_of_one_file_are_equal(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.txt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = (
        tmp_path / "data" / "train.txt",
        "train.txt",
        "./train.txt",
        "../data/train.txt",
        "~/data/train.txt",
        "~/link/train.txt",
    )
    assert {resolve(path) for path in spellings} == {(tmp_path / "data" / "train.txt").resolve()}


def test_an_empty_path_is_not_the_working_folder():
    with pytest.raises(PepError, match="A path must not be empty"):
        resolve("")


def test_what_does_not_exist_yet_is_absolute_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve("runs/new") == tmp_path.resolve() / "runs" / "new"


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a\0b", "loop/x"])
def test_a_path_that_cannot_be(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("loop").symlink_to("loop")
    with pytest.raises(PepError, match="cannot be used"):
        resolve(path)


def test_shown_is_relative_below_the_working_folder_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown("runs/one") == pathlib.Path("runs/one")
    assert shown(tmp_path / "runs") == pathlib.Path("runs")
    assert shown(tmp_path.parent / "x") == tmp_path.resolve().parent / "x"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own, and another folder to work in, where nothing may appear."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    yield tmp_path / "home"
    assert not list((tmp_path / "work").iterdir())


def test_a_home_in_the_paths_of_models(home):
    settings = tiny.settings(threshold_learning_rate=0.25, check_every=2, epochs=1, prune_epochs=1)
    [ticket] = pep_tf.prune(
        tiny.model("fm"), tiny.DATA, budgets=[9], settings=settings, folder="~/pruning"
    )
    ticket.save("~/kept/ticket.safetensors")
    ticket = pep_tf.Ticket.load("~/kept/ticket.safetensors")
    ticket.retrain(tiny.DATA, settings=settings, checkpoint="~/retraining")
    folder = ticket.export("~/export")
    assert folder == home.resolve() / "export" / "1"
    assert inspect("~/export") == inspect(folder)
    assert pep_tf.export(ticket.retrained, "~/export").name == "2"
    assert (home / "pruning" / "ticket_9.safetensors").exists()


def test_a_home_in_the_paths_of_data(home):
    write_raw_text("~/train.txt", rows=2000, num_features=200)
    assert load_criteo("~/train.txt").train.num_rows > 1000
    prepare("criteo", "~/train.txt", "~/store")
    assert load("criteo", data_dir="~/store").train.num_rows > 1000
    transform = load_transform("~/store")
    transform.save("~/store")
    assert Transform.load("~/store").fingerprint == transform.fingerprint
    assert {path.name for path in home.iterdir()} == {"train.txt", "store"}


def test_a_home_in_the_paths_of_runs(home):
    folders.write_run(home / "run")
    results = Results.load("~/run")
    results.save("~/copy")
    assert Results.load("~/copy") == results
    assert write_report(["~/run"], "~/page") == home.resolve() / "page" / "report.html"
    (home / "study.py").write_text("CONFIG = {'seed': 3}")
    assert load_study("~/study.py") == {"seed": 3}
    with pytest.raises(RunError, match="no trial"):
        Search.load("~/run")
