"""What `TF_CONFIG` may say, and what is refused in one line."""

import json
import socket
import threading

import pytest
import tensorflow as tf

from pep_tf.distributed import join
from pep_tf.distributed.cluster import Cluster, local_cluster
from pep_tf.errors import RunError
from tests.experiments.command import called

HOSTS = ["a:1", "b:2", "c:3"]


def told(cluster=None, kind="worker", index=0, **more):
    cluster = {"worker": HOSTS} if cluster is None else cluster
    return {
        "TF_CONFIG": json.dumps(
            {"cluster": cluster, "task": {"type": kind, "index": index}, **more}
        )
    }


def test_ranks():
    assert Cluster.from_environment(told(index=2)) == Cluster(("a:1", "b:2", "c:3"), 2)
    chief = {"worker": ["b:2"], "chief": ["a:1"]}
    assert Cluster.from_environment(told(chief)) == Cluster(("a:1", "b:2"), 1)
    assert Cluster.from_environment(told({"worker": ["a:1"]})) is None  # a process alone
    assert Cluster.from_environment({}) is None
    ranks = [Cluster.from_environment({"TF_CONFIG": config}) for config in local_cluster(3)]
    assert [own.rank for own in ranks] == [0, 1, 2]
    assert len(set(ranks[0].hosts)) == 3


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TF_CONFIG": "{worker}"}, "must be JSON"),
        ({"TF_CONFIG": "[]"}, 'must be {"cluster"'),
        (told({"worker": ["a:1", "b:2", "a:1"]}), "Received: a:1 twice"),
        (told({"chief": ["a:1"], "worker": ["a:1"]}), "Received: a:1 twice"),
        (told({"worker": ["a", "b:2"]}), "host:port. Received: 'a'"),
        (told({"worker": HOSTS, "ps": ["d:4"]}), r"Received: \['ps'\]"),
        (told(index=3), "Received: worker 3"),
        (told(kind="chief"), "Received: chief 0"),
    ],
)
def test_bad_clusters(environment, reason):
    with pytest.raises(RunError, match=reason):
        Cluster.from_environment(environment)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        own = Cluster((f"127.0.0.1:{port}", "127.0.0.1:1"), 0)
        with pytest.raises(RunError, match=f"Port {port} of worker 0 is in use"):
            own.check_port()


def test_a_worker_that_no_longer_answers_ends_the_others(monkeypatch):
    assert join.LOOKS + join.SILENT < 20  # of the 30 s that they have
    told, left = [], threading.Event()
    monkeypatch.setattr(join, "leave", lambda *how: (told.append(how), left.set()))
    with socket.create_server(("127.0.0.1", 0)) as other:
        cluster = Cluster(("127.0.0.1:1", f"127.0.0.1:{other.getsockname()[1]}"), 0)
        with join.watched(cluster, looks=0.01, silent=0.2):
            assert not left.wait(0.5)
            other.close()
            assert left.wait(10)
    assert told[0][0] == join.LOST
    assert f"worker 0 ends, as worker 1 on {cluster.hosts[1]} has not answered" in told[0][1]


def test_who_is_missing():
    with socket.create_server(("127.0.0.1", 0)) as there:
        hosts = (f"127.0.0.1:{there.getsockname()[1]}", "127.0.0.1:1", "127.0.0.1:2")
        told = join._incomplete(5, Cluster(hosts, 1))
    assert told == (
        "The cluster of 3 workers is not complete after 5 s (--start_timeout). "
        "Not reached: worker 2 on 127.0.0.1:2."
    )


@pytest.mark.parametrize(("visible", "number"), [("", "1"), ("7,5", "5"), ("7", "7")])
def test_a_gpu_of_ones_own(monkeypatch, visible, number):
    gpus = [f"/physical_device:GPU:{i}" for i in range(len(visible.split(",")) if visible else 2)]
    seen = [tf.config.PhysicalDevice(name, "GPU") for name in gpus]
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: seen)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda own, kind: seen.remove(own))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert join._own_gpu(Cluster(("a:1", "b:2", "a:3"), 2)) == ["a", number]
    assert len(seen) == len(gpus) - 1


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        ([None, None], ""),
        ([["a", "0"], ["a", "1"], ["b", "0"]], ""),
        ([["a", "0"], ["b", "0"], ["a", "0"]], "Workers 0 and 2 would share GPU 0 of a."),
        ([["a", "0"], None], "Of workers 0 and 1 only one has a GPU."),
        ([None, ["a", "0"]], "Of workers 0 and 1 only one has a GPU."),
    ],
)
def test_each_worker_has_a_gpu_or_none_has(gpus, told):
    assert join._sharing(gpus) == told


@pytest.mark.parametrize(
    ("flags", "environment", "reason"),
    [
        (["--workers=0"], {}, "`workers` must be at least 1"),
        (["--restarts=1"], {}, "`restarts` has no effect without --workers"),
        (["--tables=sharded"], {}, "`tables` has no effect without --workers"),
        (["--start_timeout=5"], {}, "`start_timeout` has no effect without --workers"),
        (["--workers=2"], told(), "--workers starts a cluster of its own"),
        ([], {"TF_CONFIG": "no"}, "TF_CONFIG must be JSON"),
    ],
)
def test_flags(monkeypatch, flags, environment, reason):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, _, err = called("--dataset=movielens-small", "--embedding_dim=1", *flags)
    assert code == 1
    assert err.startswith("error: ")
    assert reason in err
    assert err.count("\n") == 1
