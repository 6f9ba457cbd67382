"""Runs the command line as a subprocess on the bundled data set, with little training."""

import json
import pathlib
import subprocess
import sys

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


def rows_without_times(run_dir: pathlib.Path) -> list[dict]:
    """The rows of `results.json` but for the seconds and the size of the exports.

    The model card of an export holds the seconds, and its fingerprint differs from time to time: a
    byte more or less.
    """
    rows = json.loads((run_dir / "results.json").read_text("utf-8"))
    dropped = ("seconds", "export_bytes")
    return [{key: value for key, value in row.items() if key not in dropped} for row in rows]
