"""Commands in a network namespace that has nothing but loopback: TensorFlow's servers ask for no password."""

import contextlib
import functools
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
_INSIDE = ["unshare", "-n", "bash", "-c", 'ip link set lo up && exec "$@"', "bash"]


@functools.cache
def _works() -> bool:
    try:
        return subprocess.run([*_INSIDE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def run(*command: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess:
    """Runs `python <command>` there, from the project's root; skips the test where there is no such."""
    with started(*command, **environment) as ended:
        return ended(timeout)


@contextlib.contextmanager
def started(*command: str, **environment: str):
    """Starts it; gives a function of a timeout that waits for the end. Its `process` is the process."""
    if not _works():
        pytest.skip("needs `unshare -n` and `ip`, for a network of loopback alone")
    own = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", **environment}
    process = subprocess.Popen(
        [*_INSIDE, sys.executable, *command],
        cwd=ROOT,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def ended(timeout: float) -> subprocess.CompletedProcess:
        told = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(command, process.returncode, *told)

    ended.process = process
    try:
        yield ended
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
