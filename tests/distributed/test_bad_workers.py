"""What is wrong with a worker is told in one line by the one that knows, and all of them end with an error."""

import json

import pytest

from pep_tf.distributed.join import LOST
from tests.distributed import namespace, steps

pytestmark = pytest.mark.slow


@pytest.fixture
def flags(tmp_path):
    table = steps.table(tmp_path / "rows.csv")
    return [
        f"--dataset={table}",
        *steps.FLAGS,
        f"--run_dir={tmp_path / 'run'}",
        "--start_timeout=60",
    ]


def told(*workers):
    ended = namespace.run("-m", "tests.distributed.commands", json.dumps(workers), timeout=800)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout)
    assert all(len(errors) == 1 for _, errors in found), found
    return [(code, errors[0]) for code, errors in found]


def test_other_options(flags):
    found = told({"flags": flags}, {"flags": [*flags, "--learning_rate=0.02"]})
    assert [code for code, _ in found] == [1, 1]
    for _, error in found:
        assert "Worker 1 differs from worker 0 in --learning_rate: 0.02, there 0.01" in error


def test_other_data(flags, tmp_path):
    table = steps.table(tmp_path / "rows.csv").read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/rows.csv").write_text(table.replace("1\n", "0\n", 1))
    other = [f"--dataset={tmp_path / 'other/rows.csv'}", *flags[1:]]
    found = told({"flags": flags}, {"flags": other})
    assert [code for code, _ in found] == [1, 1]
    for _, error in found:
        assert "Worker 1 differs from worker 0 in data: " in error


def test_fewer_rows_in_a_batch_than_workers(flags):
    for code, error in told(*[{"flags": [*flags, "--batch_size=1"]}] * 2):
        assert code == 1
        assert "`batch_size` must be at least the number of workers, 2. Received: 1" in error


def test_a_worker_that_never_comes(flags):
    ((code, error),) = told({"flags": [*flags, "--start_timeout=5"]}, None)
    assert code == 1
    assert (
        "is not complete after 5 s (--start_timeout). Not reached: worker 1 on 127.0.0.1" in error
    )


def test_a_port_in_use(flags):
    (first, waited), (second, refused) = told(
        {"flags": [*flags, "--start_timeout=20"]}, {"flags": flags, "port_in_use": True}
    )
    assert first == second == 1
    assert "of worker 1 is in use" in refused
    assert "is not complete after 20 s" in waited


def test_a_full_disk_on_one_host(flags, tmp_path):
    flags = [*flags, "--tables=sharded"]
    (first, lost), (second, full) = told({"flags": flags}, {"flags": flags, "file_bytes": 3000})
    assert (first, second) == (LOST, 1)
    assert "Cannot write" in full
    assert "1of2.safetensors" in full
    assert "worker 0 ends, as " in lost
    assert not list((tmp_path / "run/work").rglob("checkpoint.safetensors"))
