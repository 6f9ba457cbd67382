import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.export.litert import export_litert
from pep_tf.export.saved_model import export_saved_model
from pep_tf.export.version_folder import latest_version, publish_version
from tests.export.towers import SCHEMA, TABLE, SmallTower


def write(text):
    return lambda folder: (folder / "file").write_text(text)


def test_versions_count_up_from_the_latest_and_earlier_ones_stay(tmp_path):
    assert publish_version(tmp_path / "model", write("one")) == tmp_path / "model" / "1"
    (tmp_path / "model" / "7").mkdir()
    (tmp_path / "model" / "notes").mkdir()
    assert publish_version(tmp_path / "model", write("two")).name == "8"
    assert (tmp_path / "model" / "1" / "file").read_text() == "one"
    assert latest_version(tmp_path / "model") == 8
    assert latest_version(tmp_path / "elsewhere") == 0


def test_a_version_that_appears_meanwhile_is_not_replaced(tmp_path):
    def slow(folder):
        (folder / "file").write_text("mine")
        publish_version(tmp_path, write("theirs"))

    assert publish_version(tmp_path, slow).name == "2"
    assert (tmp_path / "1" / "file").read_text() == "theirs"
    assert (tmp_path / "2" / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(30, "Read-only file system"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device; more"),
    ],
)
def test_an_error_leaves_no_trace(tmp_path, error):
    def fail(folder):
        (folder / "half").write_text("half")
        raise error

    publish_version(tmp_path, write("one"))
    with pytest.raises(RunError, match="No space left|Read-only"):
        publish_version(tmp_path, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_mistakes_of_the_writer_pass_through_and_leave_no_trace(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        publish_version(tmp_path, fail)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 16 KiB, on which no export fits."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("needs the command mount")
    command = [mount, "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"may not mount a file system: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("export", [export_saved_model, export_litert])
def test_a_disk_that_is_really_full(small_disk, export):
    publish_version(small_disk / "model", write("one"))
    with pytest.raises(
        RunError, match=r"Could not write the model to .*disk/model: .*No space left"
    ):
        export(small_disk / "model", schema=SCHEMA, table=TABLE, tower=SmallTower())
    assert [path.name for path in (small_disk / "model").iterdir()] == ["1"]
    assert (small_disk / "model" / "1" / "file").read_text() == "one"


@pytest.mark.parametrize("export", [export_saved_model, export_litert])
def test_a_disk_that_is_really_read_only(small_disk, export):
    publish_version(small_disk / "model", write("one"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RunError, match=r"Could not write the model to .*: Read-only file system"):
        export(small_disk / "model", schema=SCHEMA, table=TABLE, tower=SmallTower())
    assert [path.name for path in (small_disk / "model").iterdir()] == ["1"]


def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o555)
    try:
        (tmp_path / "probe").touch()
    except PermissionError:
        with pytest.raises(RunError, match="Could not write the model to .*: Permission denied"):
            publish_version(tmp_path, write("one"))
    else:
        pytest.skip("this user may write everywhere (root)")
    finally:
        tmp_path.chmod(0o755)
    assert not list(tmp_path.iterdir())
