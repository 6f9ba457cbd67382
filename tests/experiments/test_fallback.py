"""A data set that stands in for the one asked for is told of in the terminal, at the start and at the end."""

import dataclasses
import json

import pytest

from pep_tf.experiments import call, main
from pep_tf.tuning import run as search_run
from pep_tf.tuning import search
from tests import tiny

LINE = "*** NOT the data set asked for ***"
TOLD = f"{LINE} --dataset=tiny gives the rows of this run on any machine."
FLAGS = ("--embedding_dim=2", "--epochs=1", "--prune_epochs=1", "--budgets=50%", "--notensorboard")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`command(module, *flags)`: standard output and error of a command on data that stands in."""
    for module in (main, search_run):
        monkeypatch.setattr(module, "write_report", lambda folders: folders[0])
    data = dataclasses.replace(tiny.DATA, details={"fallback": LINE})

    def run(module, *flags: str) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(module, "use_memory_pool", lambda: None)  # it sets the environment
        monkeypatch.setattr(call, "load_for_seed", lambda *_, **__: data)
        code = module.main([*FLAGS, f"--run_dir={tmp_path / 'run'}", *flags])
        out, err = (text.splitlines() for text in capsys.readouterr())
        assert code == 0, err
        return out, err

    return run


RUN = ("--no_retrain", "--export_format=none")


def test_of_a_run(command):
    _, err = command(main, *RUN)
    assert (err[0], err[-1]) == (TOLD, TOLD)
    assert err.count(TOLD) == 2
    out, err = command(main, *RUN, "--resume", "--quiet")
    assert err == [TOLD, TOLD]
    assert TOLD not in out


def test_of_a_run_that_reports_as_json(command):
    out, err = command(main, *RUN, "--log_format=json")
    events = [json.loads(line) for line in (err[0], err[-1])]
    assert [(event["event"], event["message"]) for event in events] == [("note", TOLD)] * 2
    assert {json.loads(line)["event"] for line in out} == {"result"}


def test_of_a_search(command):
    _, err = command(search, "--max_trials=1", "--tune=l2", "--no_retrain", "--quiet")
    assert err == [TOLD, TOLD]
