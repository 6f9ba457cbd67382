import pathlib

import pytest

from pep_tf.errors import PepError
from pep_tf.paths import resolve


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


def test_what_does_not_exist_yet_is_absolute_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve("runs/new") == tmp_path.resolve() / "runs" / "new"


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a\0b", "loop/x"])
def test_a_path_that_cannot_be(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("loop").symlink_to("loop")
    with pytest.raises(PepError, match="cannot be used"):
        resolve(path)
