import subprocess

import pytest
import tensorflow as tf

from pep_tf import driver
from pep_tf.driver import find_devices

OLD = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27 2021\nGCC version: 11.2.0\n"
NEW = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Makes a machine with this driver, and without a GPU that TensorFlow lists."""

    def make(version: str | None, cuda: str | None = "12.5.1") -> None:
        monkeypatch.setattr(driver, "_VERSION", tmp_path / "version")
        if version is not None:
            (tmp_path / "version").write_text(version)
        known = {} if cuda is None else {"cuda_version": cuda}
        monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: known)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(driver, "_SMI", ("no-such-command",))
    return make


@pytest.mark.parametrize(
    ("version", "cuda", "said"),
    [
        (OLD, "12.5.1", "NVIDIA's driver 470.82.01: CUDA 12.5.1 needs 525.60 or newer"),
        (NEW, "12.5.1", "NVIDIA's driver 580.65.06: CUDA 12.5.1 may not be installed"),
        (NEW, None, "is built without CUDA"),
    ],
)
def test_a_driver_without_a_gpu_is_told_in_one_line(version, cuda, said, machine, capfd):
    machine(version, cuda)
    find_devices()
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_nothing_is_said_without_a_driver_or_where_no_gpu_is_wanted(machine, monkeypatch):
    machine(None)
    assert driver.why_no_gpu() is None
    machine(OLD)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert driver.why_no_gpu() is None


def test_where_the_kernel_does_not_tell_the_driver_it_is_asked_for(machine, monkeypatch):
    machine(None)
    done = subprocess.CompletedProcess([], 0, stdout="470.82.01\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)
    assert "driver 470.82.01: CUDA 12.5.1 needs" in driver.why_no_gpu()
