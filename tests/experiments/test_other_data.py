"""A run is taken up on the data that it was begun on, whatever the spelling of its path, and on no other."""

import json
import shutil

import pytest

from pep_tf.experiments import main
from tests.data.clicklogs.rows_for_tests import criteo_lines, write

LINES = criteo_lines(300)
FLIPPED = [(b"1" if line[:1] == b"0" else b"0") + line[1:] for line in LINES]
FLAGS = (
    *("--dataset=criteo", "--embedding_dim=1", "--epochs=1", "--prune_epochs=1", "--budgets=5%"),
    *("--no_retrain", "--updates=dense", "--quiet", "--notensorboard", "--export_format=none"),
)


@pytest.fixture(scope="module")
def in_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "use_memory_pool", lambda: None)  # it sets the environment
        patch.setattr(main, "write_report", lambda folders: folders[0])
        yield


@pytest.fixture(scope="module")
def killed(in_process, tmp_path_factory):
    """A run whose last stage and results are missing, as a kill leaves it."""
    folder = tmp_path_factory.mktemp("killed")
    text = write(folder / "train.txt", LINES)
    assert main.main([*FLAGS, f"--data_dir={text}", f"--run_dir={folder / 'run'}"]) == 0
    for path in [*folder.glob("run/stages/ticket_*"), folder / "run" / "results.json"]:
        path.unlink()
    return folder


@pytest.fixture
def begun(killed, tmp_path, monkeypatch):
    """The same elsewhere, in the working folder."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def resumed(capsys, *flags: str, data_dir: str = "train.txt") -> tuple[int, str]:
    capsys.readouterr()
    code = main.main([*FLAGS, f"--data_dir={data_dir}", "--run_dir=run", "--resume", *flags])
    return code, capsys.readouterr().err


def test_only_the_same_content_is_taken_up(begun, tmp_path, capsys):
    write(tmp_path / "train.txt", FLIPPED)
    code, err = resumed(capsys)
    assert code == 1
    assert "begun on other data: data content: labels of train.txt changed. Resume with" in err
    assert err.count("\n") == 1
    assert not (begun / "results.json").exists()
    write(tmp_path / "train.txt", [line + b"0" for line in LINES])
    assert "data content: features of train.txt changed" in resumed(capsys)[1]
    write(tmp_path / "train.txt", LINES[:290])
    assert "data content: rows 300, here 290" in resumed(capsys)[1]
    write(tmp_path / "train.txt", LINES)
    assert resumed(capsys)[0] == 0
    assert (begun / "results.json").exists()


def test_any_spelling_and_any_name_of_the_file_will_do(begun, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "below").mkdir()
    write(tmp_path / "below" / "renamed.txt", LINES)
    for data_dir in ("~/train.txt", "below/../train.txt", "below/renamed.txt"):
        code, err = resumed(capsys, data_dir=data_dir)
        assert code == 0, err
    rows = json.loads(_results(begun))
    (identity,) = {json.dumps(row["data_md5"]) for row in rows}
    assert set(json.loads(identity)) == {"options", "mapping", "split"}
    assert len({row["content_md5"] for row in rows}) == 1


def _results(folder):
    return (folder / "results.json").read_text()


def test_another_configuration_is_told_in_a_line(begun, capsys):
    code, err = resumed(capsys, "--l2=0.5", "--patience=9")
    assert code == 1
    assert "another configuration: l2 1e-05, here 0.5; patience 2, here 9. Choose" in err
    assert err.count("\n") == 1
    assert "another configuration: seed 0, here 1." in resumed(capsys, "--seed=1")[1]


def test_a_run_of_an_earlier_version_is_taken_up_with_a_warning(begun, tmp_path, capsys, caplog):
    path = begun / "config.json"
    config = json.loads(path.read_text())
    identity = config["data"].pop("identity")
    del config["crc32"]  # which such versions did not write
    assert identity["content"]["rows"] == 300
    config["data"]["data_dir"] = "elsewhere/train.txt"
    path.write_text(json.dumps(config))
    assert resumed(capsys)[0] == 0
    assert [r for r in caplog.records if "did not record its data" in r.getMessage()]
    config["data"]["transform_md5"] = "0"  # what such versions did compare still is
    path.write_text(json.dumps(config))
    code, err = resumed(capsys)
    assert code == 1
    assert "begun on other data: transform_md5 0, here" in err


@pytest.mark.parametrize("content", ["[]", "3", "{"])
def test_a_damaged_configuration_is_told(begun, capsys, content):
    (begun / "config.json").write_text(content)
    code, err = resumed(capsys)
    assert code == 1
    assert "config.json is damaged" in err
