"""Chief and workers as processes, some of which are killed."""

import collections
import json
import multiprocessing
import os
import pathlib
import signal
import socket
import time
from concurrent import futures

import grpc
import pytest

from pep_tf.errors import RunError
from pep_tf.tuning import chief
from pep_tf.tuning.tuner import Tuner
from tests.tuning import worker
from tests.tuning.quick_search import oracle, quick

# Processes are copies of one that has loaded TensorFlow, but not gRPC, whose threads no copy has.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pep_tf.experiments.main"])


class Cluster:
    """Starts chiefs and workers of one quick search, and ends what is left of them."""

    def __init__(self, folder: pathlib.Path, algorithm: str, trials: int, seconds: float = 0.4):
        self.folder, self.processes = folder, []
        self.arguments = [str(folder), algorithm, str(trials), str(seconds)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self, name: str, timeouts: str = "60,3"):
        """Starts a process; `timeouts` are the chief's and the worker's, in seconds."""
        env = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self.port),
        }
        told = f"{self.folder}-{len(self.processes)}"
        process = _FORKS.Process(
            target=worker.start, args=(env, told, *self.arguments, timeouts), name=told
        )
        process.start()
        self.processes.append(process)
        return process

    def begun(self) -> list[str]:
        path = self.folder / "begun.txt"
        return path.read_text().split() if path.exists() else []

    def wait_for(self, count: int) -> None:
        """Waits until `count` trials have begun."""
        until = time.monotonic() + 90
        while len(self.begun()) < count:
            assert time.monotonic() < until, "no progress"
            time.sleep(0.02)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


@pytest.fixture
def cluster(tmp_path):
    made = []

    def make(*arguments, **options):
        made.append(Cluster(tmp_path / "s", *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def end(process):
    """Exit code, output and errors of a process that ends by itself."""
    process.join(120)
    return process.exitcode, *(
        pathlib.Path(f"{process.name}.{kind}").read_text() for kind in ("out", "err")
    )


def finished(folder: pathlib.Path, trials: int) -> None:
    """Exactly so many trials finished, none of them and no values twice."""
    table = json.loads((folder / "table.json").read_text())
    assert len(table) == trials
    assert {status for _, _, status, _ in table} <= {"COMPLETED", "FAILED"}
    assert all(score is not None for _, _, status, score in table if status == "COMPLETED")
    ended = (folder / "ended.txt").read_text().splitlines()
    counts = collections.Counter(line.split()[0] for line in ended)
    assert counts == {trial_id: 1 for trial_id, *_ in table}
    values = collections.Counter(line.split(" ", 1)[1] for line in ended)
    assert set(values.values()) == {1}


slow = pytest.mark.slow


@pytest.mark.parametrize("algorithm", ["bayesian", pytest.param("random", marks=slow)])
def test_a_worker_and_the_chief_are_killed(cluster, algorithm):
    search = cluster(algorithm, 9)
    head = search.start("chief")
    workers = [search.start(f"worker{n}") for n in range(2)]
    search.wait_for(3)
    workers[0].kill()
    search.wait_for(4)
    head.kill()
    head.join()
    head = search.start("chief")
    for process in (workers[1], head):
        code, _, err = end(process)
        assert code == 0, err
    finished(search.folder, 9)


@pytest.mark.parametrize("algorithm", ["hyperband", pytest.param("grid", marks=slow)])
def test_a_dead_workers_trial_goes_to_the_last_one_that_is_left(cluster, algorithm):
    """Though nothing else was left for it to do."""
    search = cluster(algorithm, 4)
    head = search.start("chief")
    victim, survivor = search.start("worker0"), search.start("worker1")
    search.wait_for(2)
    victim.kill()
    for process in (survivor, head):
        code, _, err = end(process)
        assert code == 0, err
    finished(search.folder, 4)


@slow
def test_a_worker_that_stalls_does_not_finish_what_was_given_away(cluster):
    search = cluster("random", 4, seconds=8)
    head = search.start("chief")
    sleeper, other = search.start("worker0"), search.start("worker1")
    search.wait_for(2)
    os.kill(sleeper.pid, signal.SIGSTOP)
    search.wait_for(5)  # the sleeper's trial was begun again
    os.kill(sleeper.pid, signal.SIGCONT)
    for process in (sleeper, other, head):
        code, out, err = end(process)
        assert code == 0, err
        if process is sleeper:
            assert "given to another worker" in out
    table = json.loads((search.folder / "table.json").read_text())
    assert [status for _, _, status, _ in table] == ["COMPLETED"] * 4


@pytest.fixture
def port(monkeypatch):
    """A free port, as the environment names the chief's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(number))
    return number


def test_a_chief_that_never_answers(port, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    (tmp_path / "s").mkdir()
    tuner = Tuner(oracle("random"), tmp_path / "s", quick, chief_timeout=0.5)
    with pytest.raises(RunError, match=f"127.0.0.1:{port} has not answered for 0.5 s.*_timeout"):
        tuner.search()
    assert not list((tmp_path / "s").iterdir())


def test_an_address_without_a_role(port, tmp_path):
    with pytest.raises(RunError, match='"KERASTUNER_TUNER_ID" was not. Please specify an ID'):
        Tuner(oracle("random"), tmp_path / "s", quick)


def test_a_port_in_use(port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(RunError, match=f"listen on 127.0.0.1:{port}: the port is in use"):
            chief.serve(oracle("random"), print)


def test_two_chiefs_do_not_share_a_port(port):
    """Which gRPC allows by default."""
    other = grpc.server(futures.ThreadPoolExecutor(1))
    assert other.add_insecure_port(f"127.0.0.1:{port}") == port
    other.start()
    with pytest.raises(RunError, match="the port is in use"):
        chief.serve(oracle("random"), print)
    other.stop(None).wait()
