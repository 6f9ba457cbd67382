import pytest
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.export.version_folder import latest_version, publish_version


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
