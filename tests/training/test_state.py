import contextlib
import errno
import os

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pep_tf.errors import RunError, TicketError
from pep_tf.training import state
from pep_tf.training.state import load_state, save_state, save_text

ARRAYS = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "mask": np.array([True, False])}
FACTS = {"step": 7, "names": ["user", "Zürich"], "rate": 0.1, "none": None}


def written(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "er" / "state"
    save_state(path, ARRAYS, FACTS)
    arrays_, facts = load_state(path, "a checkpoint")
    assert facts == FACTS
    assert set(arrays_) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays_[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays_[name], array)
    assert written(path.parent) == ["state"]


def test_reads_only_the_arrays_asked_for(tmp_path):
    save_state(tmp_path / "state", ARRAYS, FACTS)
    found, facts = load_state(tmp_path / "state", "a checkpoint", only=("mask", "nothing"))
    assert list(found) == ["mask"]
    assert facts == FACTS


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.int64, np.uint8, np.uint32, bool]),
        arrays.array_shapes(min_dims=1, min_side=0),
    )
)
@settings(deadline=None)
def test_any_array_comes_back_bit_for_bit(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "any"
    save_state(path, {"x": array}, None)
    [again] = load_state(path, "a state")[0].values()
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()


def test_arrays_that_are_not_contiguous(tmp_path):
    save_state(tmp_path / "x", {"t": ARRAYS["a/b"].T, "step": np.float32([[1, 2, 3]])[:, ::2]}, 0)
    again = load_state(tmp_path / "x", "a state")[0]
    np.testing.assert_array_equal(again["t"], ARRAYS["a/b"].T)
    np.testing.assert_array_equal(again["step"], [[1, 3]])


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fails", ["save_file", "fsync", "replace"])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch, fails):
    path = tmp_path / "state"
    save_state(path, ARRAYS, FACTS)
    before = path.read_bytes()

    def half(arrays_, neighbour, *_):
        neighbour.write_bytes(b"half of it")
        full_disk()

    target = safetensors.numpy if fails == "save_file" else os
    monkeypatch.setattr(target, fails, half if fails == "save_file" else full_disk)
    with pytest.raises(RunError, match=r"Cannot write .*state: .*No space left.*Free some space"):
        save_state(path, {"other": np.zeros(3)}, {})
    assert path.read_bytes() == before
    assert written(tmp_path) == ["state"]


def test_being_killed_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch):
    """No clean-up runs then: what was half-written is not taken for the file."""
    path = tmp_path / "state"
    save_state(path, ARRAYS, FACTS)

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(Killed):
        save_state(path, {"other": np.zeros(3)}, {})
    assert load_state(path, "a state")[1] == FACTS


def test_the_new_file_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a)))
    save_state(tmp_path / "x", ARRAYS, FACTS)
    assert calls == ["fsync", "replace", "fsync"]  # the last of the folder


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="Cannot write .*another folder"):
        save_state(tmp_path / "file" / "state", ARRAYS, FACTS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Cannot write .*Permission denied"):
        save_state(tmp_path / "state", ARRAYS, FACTS)


def test_permission_denied(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(state.safetensors.numpy, "save_file", denied)
    with pytest.raises(RunError, match="Cannot write .*Permission denied"):
        save_state(tmp_path / "state", ARRAYS, FACTS)
    assert written(tmp_path) == []


def test_text_is_written_whole(tmp_path, monkeypatch):
    save_text(tmp_path / "config.json", "Zürich\n")
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(RunError, match="No space left"):
        save_text(tmp_path / "config.json", "other")
    assert (tmp_path / "config.json").read_text("utf-8") == "Zürich\n"
    assert written(tmp_path) == ["config.json"]


@pytest.mark.parametrize("error", [RunError, TicketError])
class TestBadFiles:
    def test_missing(self, tmp_path, error):
        with pytest.raises(error, match="a checkpoint .*state is missing"):
            load_state(tmp_path / "state", "a checkpoint", error)

    @pytest.mark.parametrize("kept", [0, 4, 8, 60, 0.5, -1])
    def test_truncated(self, tmp_path, error, kept):
        path = tmp_path / "state"
        save_state(path, ARRAYS, FACTS)
        content = path.read_bytes()
        kept = int(kept * len(content)) if isinstance(kept, float) else kept
        path.write_bytes(content[:kept])
        with pytest.raises(error, match="state is damaged or is not a checkpoint: "):
            load_state(path, "a checkpoint", error)

    @pytest.mark.parametrize(
        "content", [b"user,item\n1,2\n" * 50, b"\x00" * 500, b"\xff" * 500, b"{}"]
    )
    def test_another_kind_of_file(self, tmp_path, error, content):
        (tmp_path / "state").write_bytes(content)
        with pytest.raises(error, match="state is damaged or is not a checkpoint: "):
            load_state(tmp_path / "state", "a checkpoint", error)

    @pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"facts": "{not JSON"}])
    def test_safetensors_of_somebody_else(self, tmp_path, error, metadata):
        safetensors.numpy.save_file(ARRAYS, tmp_path / "state", metadata)
        with pytest.raises(error, match="state is damaged or is not a checkpoint: "):
            load_state(tmp_path / "state", "a checkpoint", error)

    def test_a_folder(self, tmp_path, error):
        with pytest.raises(error, match="is damaged or is not a checkpoint: "):
            load_state(tmp_path, "a checkpoint", error)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_flipped_byte(tmp_path_factory, data):
    """A clear error, or what was written: never another number."""
    path = tmp_path_factory.getbasetemp() / "flipped"
    save_state(path, ARRAYS, FACTS)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with contextlib.suppress(RunError):  # any other error is a failure
        found, facts = load_state(path, "a state")
        assert facts == FACTS
        assert {n: a.tolist() for n, a in found.items()} == {
            n: a.tolist() for n, a in ARRAYS.items()
        }


def test_a_file_of_an_earlier_version_has_no_checksums(tmp_path):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "state", {"facts": "3"})
    assert load_state(tmp_path / "state", "a state")[1] == 3
