"""The command on workers that it starts: one is killed, all are started again."""

import os
import pathlib
import signal

import pytest

from tests.distributed import namespace, steps
from tests.distributed.test_steps import check_run
from tests.experiments.command import wait_for


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["replicated", "sharded"])
def test_a_killed_worker(tmp_path, tables):
    table, run = steps.table(tmp_path / "rows.csv"), tmp_path / "run"
    ended = namespace.start(
        *("-m", "pep_tf.experiments.main", f"--dataset={table}", *steps.FLAGS),
        *(
            "--dense_below=0",
            "--workers=2",
            f"--tables={tables}",
            "--restarts=1",
            f"--run_dir={run}",
        ),
    )
    wait_for(run / "work/prune/checkpoint.safetensors")
    os.kill(_worker(ended.process.pid, 1), signal.SIGKILL)
    found = ended(800)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "error: worker 1 was ended by SIGKILL" in found.stderr
    assert "starts 2 workers again" in found.stderr
    check_run(run, table, tmp_path / "one", "--dense_below=0")


def _worker(launcher: int, rank: int) -> int:
    """The process of a worker."""
    children = pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in children:
        environment = pathlib.Path(f"/proc/{child}/environ").read_bytes()
        if f'"index": {rank}'.encode() in environment:
            return int(child)
    raise AssertionError(children)
