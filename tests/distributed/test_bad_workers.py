"""What is wrong with a worker is told in one line by the one that knows, and all of them end with an error."""

import json

import pytest

from pep_tf.distributed.join import LOST
from tests.distributed import namespace, steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def told(folder):
    """By what is wrong the exit code and the error of each worker: one launch for all tests."""
    table = steps.table(folder / "rows.csv")
    (folder / "other").mkdir()
    other = folder / "other/rows.csv"
    other.write_text(table.read_text().replace("1\n", "0\n", 1))

    def flags(run, *more, rows=table):
        own = (f"--dataset={rows}", *steps.FLAGS, f"--run_dir={folder / run}")
        return {"flags": [*own, "--start_timeout=60", *more]}

    sharded = flags("full", "--tables=sharded")
    clusters = {
        "options": [flags("options"), flags("options", "--learning_rate=0.02")],
        "data": [flags("data"), flags("data", rows=other)],
        "rows": [flags("rows", "--batch_size=1")] * 2,
        "never": [flags("never", "--start_timeout=5"), None],
        "port": [flags("port", "--start_timeout=20"), {**flags("port"), "port_in_use": True}],
        "disk": [sharded, {**sharded, "file_bytes": 3000}],
    }
    ended = namespace.run("-m", "tests.distributed.commands", json.dumps(clusters), timeout=1500)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout)
    for name, workers in found.items():
        assert all(len(errors) == 1 for _, errors in workers), (name, workers)
    return {name: [(code, *errors) for code, errors in own] for name, own in found.items()}


def test_other_options(told):
    for code, error in told["options"]:
        assert code == 1
        assert "Worker 1 differs from worker 0 in --learning_rate: 0.02, there 0.01" in error


def test_other_data(told):
    for code, error in told["data"]:
        assert code == 1
        assert "Worker 1 differs from worker 0 in data: " in error


def test_fewer_rows_in_a_batch_than_workers(told):
    for code, error in told["rows"]:
        assert code == 1
        assert "`batch_size` must be at least the number of workers, 2. Received: 1" in error


def test_a_worker_that_never_comes(told):
    ((code, error),) = told["never"]
    assert code == 1
    assert (
        "is not complete after 5 s (--start_timeout). Not reached: worker 1 on 127.0.0.1" in error
    )


def test_a_port_in_use(told):
    (first, waited), (second, refused) = told["port"]
    assert first == second == 1
    assert "of worker 1 is in use" in refused
    assert "is not complete after 20 s" in waited


def test_a_full_disk_on_one_host(told, folder):
    (first, lost), (second, full) = told["disk"]
    assert (first, second) == (LOST, 1)
    assert "Cannot write" in full
    assert "1of2.safetensors" in full
    assert "worker 0 ends, as " in lost
    assert not list((folder / "full/work").rglob("checkpoint.safetensors"))
