"""The folder of a run: what may be begun and taken up in it, by one process, whatever state it is in."""

import dataclasses
import fcntl
import json

import pytest

from pep_tf.errors import RunError
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training.state import with_checksum
from tests import tiny
from tests.experiments.report import folders

CONFIG = {"l2": 0.5}
WHOLE = dataclasses.asdict(folders.row())


@pytest.fixture
def begun(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.opened(CONFIG, tiny.DATA, resume=False):
        pass
    return folder


@pytest.mark.parametrize("there", ["nothing", "a folder", "a lock", "other files"])
def test_there_must_be_a_run_to_resume(tmp_path, there):
    path = tmp_path / "run"
    if there != "nothing":
        path.mkdir()
    if there in ("a lock", "other files"):
        (path / {"a lock": ".lock"}.get(there, "notes.txt")).touch()
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(RunError, match="^--resume: .*run holds no run. Leave --resume out"),
        RunFolder(path).opened(CONFIG, tiny.DATA, resume=True),
    ):
        pytest.fail("it was opened")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_was_killed_before_it_had_a_configuration_is_begun_again(tmp_path):
    (tmp_path / ".lock").touch()
    with RunFolder(tmp_path).opened(CONFIG, tiny.DATA, resume=False):
        assert RunFolder(tmp_path).begun


def test_what_has_begun_is_resumed_by_the_same_configuration(begun):
    with begun.opened(CONFIG, tiny.DATA, resume=True):
        pass
    for config, resume, told in (
        (CONFIG, False, "already holds this run. Add --resume"),
        ({"l2": 0.1}, True, "configuration: l2 0.5, here 0.1."),
    ):
        with (
            pytest.raises(RunError, match=told),
            begun.opened(config, tiny.DATA, resume=resume),
        ):
            pytest.fail("it was opened")


def test_while_another_process_is_at_work_nothing_is_written(tmp_path):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(RunError, match="Another process is at work in"),
            RunFolder(tmp_path).opened(CONFIG, tiny.DATA, resume=False),
        ):
            pytest.fail("it was opened")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "run").touch()
    with (
        pytest.raises(RunError, match="^Cannot write .*run: File exists; choose another folder"),
        RunFolder(tmp_path / "run").opened(CONFIG, tiny.DATA, resume=False),
    ):
        pytest.fail("it was opened")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", '{"stage": 1}', '"text"', "[" * 100_000),
        *(
            json.dumps({**WHOLE, **changes})
            for changes in (
                {"nnz": "5"},
                {"test_auc": None},
                {"seed": True},
                {"split_md5": {"train": 1}},
                {"colour": "red"},
            )
        ),
        json.dumps(WHOLE)[:-9],
        json.dumps(with_checksum(WHOLE)).replace("0.79", "0.97"),
    ],
    ids=lambda text: text[-12:],
)
def test_a_damaged_row_is_named(begun, text):
    path = begun.path / "stages" / "ticket_5.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(RunError, match=r"stages/ticket_5\.json is damaged .*; delete it, and its"):
        begun.row("ticket_5")


def test_a_damaged_history_is_named(begun):
    begun.note_history("baseline", [{"step": 1.0}])
    begun.note_history("prune", [{"step": 2.0}])
    path = begun.path / "history.json"
    told = json.loads(path.read_text())
    assert told.pop("crc32")
    assert told == {"baseline": [{"step": 1.0}], "prune": [{"step": 2.0}]}
    for text in ("", "[]", "{", '[{"step": 1, "nnz": 2}]', path.read_text().replace("2.0", "3.0")):
        path.write_text(text)
        with pytest.raises(RunError, match=r"history\.json is damaged .*; delete it to go on"):
            begun.note_history("ticket_5", [])
        assert path.read_text() == text
