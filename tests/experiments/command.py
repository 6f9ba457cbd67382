"""Runs commands on the bundled data set, with little training: as a process, or within this one."""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import time
from types import ModuleType
from unittest import mock

from pep_tf.experiments import main

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAIN = [sys.executable, "-m", "pep_tf.experiments.main"]
SHORT = [
    "--dataset=movielens-small",
    "--embedding_dim=8",
    "--epochs=2",
    "--prune_epochs=2",
    "--threshold_learning_rate=0.1",
    "--budgets=20%,1000",
    "--check_every=10",
    "--checkpoint_every=20",
]


def start(*flags: str, module: list[str] = MAIN) -> subprocess.Popen[str]:
    """Starts a command; the caller waits for it or kills it."""
    return subprocess.Popen(
        [*module, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*flags: str, module: list[str] = MAIN) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    process = start(*flags, module=module)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def called(*flags: str, module: ModuleType = main) -> tuple[int, str, str]:
    """The same of a command that is called in this process, which spares it the start of TensorFlow."""
    out, err = io.StringIO(), io.StringIO()
    unset = mock.patch.object(module, "use_memory_pool")  # it sets the environment
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), unset:
        code = module.main(list(flags))
    return code, out.getvalue(), err.getvalue()


def wait_for(path: pathlib.Path, since: float = 0.0) -> None:
    """Waits for a file to be written since a time of the clock; in vain at most two minutes."""
    until = time.time() + 120
    while not (path.exists() and path.stat().st_mtime >= since) and time.time() < until:
        time.sleep(0.02)


def rows_without_times(run_dir: pathlib.Path) -> list[dict]:
    """The rows of `results.json` but for the seconds, the size of the exports and the checksum.

    The model card of an export holds the seconds, and its fingerprint differs from time to time: a
    byte more or less.
    """
    rows = json.loads((run_dir / "results.json").read_text("utf-8"))
    dropped = ("seconds", "export_bytes", "crc32")
    return [{key: value for key, value in row.items() if key not in dropped} for row in rows]
