import os

import pytest

from pep_tf import files
from pep_tf.training import memory_pool


def test_a_folder_is_of_one_process_at_a_time(tmp_path):
    with files.lock(tmp_path / "new"), pytest.raises(BlockingIOError):
        files.lock(tmp_path / "new")
    files.lock(tmp_path / "new").close()


@pytest.mark.parametrize("size", [0, 5, (1 << 20) + 3])
def test_a_system_that_reserves_no_room_writes_zeros(tmp_path, monkeypatch, size):
    monkeypatch.delattr(os, "posix_fallocate")
    with (tmp_path / "x").open("wb") as file:
        files.reserve(file, size)
        assert (tmp_path / "x").read_bytes() == bytes(size)


def test_a_system_without_locks_or_a_size_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    with files.lock(tmp_path), files.lock(tmp_path):
        pass
    monkeypatch.delattr(os, "sysconf")
    assert memory_pool.machine_memory() > 1 << 60
