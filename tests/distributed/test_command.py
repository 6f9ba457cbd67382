"""Workers of which one is killed: the command starts all again; under `TF_CONFIG` alone the others end."""

import functools
import os
import pathlib
import signal
import time

import pytest

from pep_tf.distributed.join import LOST
from pep_tf.training.state import load_state
from tests.distributed import namespace, steps
from tests.distributed.test_steps import check_run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tables", "moment"),
    [
        ("replicated", "checkpoint.safetensors"),
        ("sharded", "*checkpoint.*.1of2.safetensors*"),  # while or soon after it writes its part
    ],
)
def test_a_killed_worker(tmp_path, tables, moment):
    table, run = steps.table(tmp_path / "rows.csv"), tmp_path / "run"
    command = ["-m", "pep_tf.experiments.main", f"--dataset={table}", *steps.FLAGS]
    flags = ["--dense_below=0", "--workers=2", f"--tables={tables}", "--restarts=1"]
    with namespace.started(*command, *flags, f"--run_dir={run}") as ended:
        wait_until(ended, lambda: any((run / "work/prune").glob(moment)))
        os.kill(_worker(ended.process.pid, 1), signal.SIGKILL)
        found = ended(1500)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "error: worker 1 was ended by SIGKILL" in found.stderr
    assert "starts 2 workers again" in found.stderr
    check_run(run, table, tmp_path / "one", "--dense_below=0")


@pytest.mark.slow
def test_two_workers_then_one_then_three(tmp_path):
    table, run = steps.table(tmp_path / "rows.csv"), tmp_path / "run"
    flags = ["--prune_epochs=20", "--tables=sharded", "--dense_below=0"]
    command = ["-m", "pep_tf.experiments.main", f"--dataset={table}", *steps.FLAGS]
    checkpoint, written = run / "work/prune/checkpoint.safetensors", 0
    for workers, resume in ((2, []), (1, ["--resume"])):
        own = [f for f in flags if workers > 1 or not f.startswith("--tables")]
        own += [f"--workers={workers}", f"--run_dir={run}", *resume]
        with namespace.started(*command, *own) as ended:
            wait_until(ended, functools.partial(_is_newer, checkpoint, written))
            for process in (*_children(ended.process.pid), ended.process.pid):
                os.kill(process, signal.SIGKILL)
            ended(60)
        written, facts = checkpoint.stat().st_mtime_ns, load_state(checkpoint, "a checkpoint")[1]
        assert facts.get("shards", {}).get("workers", 1) == workers
        assert facts["place"]["step"] < 160
    found = namespace.run(
        *(*command, *flags, "--workers=3", f"--run_dir={run}", "--resume"), timeout=1500
    )
    assert found.returncode == 0, found.stderr[-3000:]
    check_run(run, table, tmp_path / "one", flags[0], flags[2], logloss=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_lost_without_a_launcher(tmp_path, rank):
    command = ["-m", "tests.distributed.steps", "2", str(tmp_path), "0", "fm"]
    with namespace.started(*command) as ended:
        wait_until(ended, (tmp_path / "fm.safetensors").exists)
        os.kill(_children(ended.process.pid)[rank], signal.SIGKILL)
        killed = time.monotonic()
        found = ended(60)
    assert time.monotonic() - killed < 30
    assert found.returncode == LOST
    assert f"error: worker {1 - rank} ends, as " in found.stderr


def wait_until(ended, there) -> None:
    """Waits for what a process does while it runs, on a machine that may be busy."""
    until = time.monotonic() + 1200
    while not there():
        assert ended.process.poll() is None, ended(1).stderr[-3000:]
        assert time.monotonic() < until, "not there"
        time.sleep(0.01)


def _is_newer(path: pathlib.Path, written: int) -> bool:
    return path.exists() and path.stat().st_mtime_ns > written


def _children(process: int) -> list[int]:
    told = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in told.split()]


def _worker(launcher: int, rank: int) -> int:
    """The process of a worker."""
    children = _children(launcher)
    for child in children:
        environment = pathlib.Path(f"/proc/{child}/environ").read_bytes()
        if f'"index": {rank}'.encode() in environment:
            return child
    raise AssertionError(children)
