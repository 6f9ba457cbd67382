"""How a process joins its cluster, and how it ends when another one is gone."""

import contextlib
import faulthandler
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from pep_tf.distributed.cluster import Cluster
from pep_tf.distributed.group import AUTO, Group, current, enter
from pep_tf.errors import RunError

LOST = 75  # exit code of a worker that ends since another one has
LOOKS, SILENT = 2.0, 12.0  # seconds between looks at the others, and of silence of one that is lost
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_kept: list[Any] = []  # TensorFlow's server lives as long as this
_OF_A_PEER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def join(cluster: Cluster, timeout: float, tables: str = AUTO) -> Group:
    """Starts TensorFlow's server of this worker and waits for the others; call it before any tensor.

    Args:
        cluster: see `Cluster.from_environment`.
        timeout: seconds to wait. A process that has waited so long tells who is missing and ends.
        tables: see `Group`.

    Raises:
        RunError: the port of this worker is in use, or a worker has no GPU of its own where another
            one has.
    """
    cluster.check_port()
    gpu = _own_gpu(cluster)
    _leave_out_proxies(cluster)
    with _ends_after(timeout, cluster):
        _kept.append(tf.distribute.MultiWorkerMirroredStrategy())
        device = "CPU:0" if gpu is None else "GPU:0"
        group = Group(cluster.size, cluster.rank, tables, cluster.here, device)
        gpus = group.gather_objects(gpu)
    if problem := _sharing(gpus):
        raise RunError(f"{problem} Start as many workers as there are GPUs, or set {_VISIBLE}=-1.")
    enter(group)
    return group


def _own_gpu(cluster: Cluster) -> list[str] | None:
    """Leaves this worker the GPU of its place among those on its host; says which, None without any."""
    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return None
    own = gpus[cluster.place % len(gpus)]
    tf.config.set_visible_devices(own, "GPU")
    number = own.name.rpartition(":")[2]
    given = os.environ.get(_VISIBLE, "").split(",")
    return [cluster.host, given[int(number)] if int(number) < len(given) and given[0] else number]


def _sharing(gpus: list[list[str] | None]) -> str:
    """What is wrong with the GPUs of the workers, if anything."""
    for rank, own in enumerate(gpus):
        first = gpus.index(own)
        if own is not None and first < rank:
            return f"Workers {first} and {rank} would share GPU {own[1]} of {own[0]}."
        if (own is None) != (gpus[0] is None):
            return f"Of workers 0 and {rank} only one has a GPU."
    return ""


def _leave_out_proxies(cluster: Cluster) -> None:
    """Has gRPC reach the workers directly, whatever proxy the environment names."""
    hosts = [host.rpartition(":")[0] for host in cluster.hosts]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join([*filter(None, [os.environ.get(name)]), *hosts])


@contextlib.contextmanager
def _ends_after(seconds: float, cluster: Cluster) -> Iterator[None]:
    """Ends this process, with code 1 and a line that says who is missing, unless left before.

    TensorFlow's wait lets no thread of Python's run: another process tells, and faulthandler ends.
    """
    wait, done = os.pipe()
    if (teller := os.fork()) == 0:
        os.close(done)
        if not select.select([wait], [], [], seconds)[0]:
            print(f"error: {_incomplete(seconds, cluster)}", file=sys.stderr, flush=True)
        os._exit(0)
    os.close(wait)
    with open(os.devnull, "w") as nowhere:
        probed = seconds + cluster.size  # a second for each of the others
        faulthandler.dump_traceback_later(probed + 1, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            os.close(done)
            os.waitpid(teller, 0)


def _incomplete(seconds: float, cluster: Cluster) -> str:
    missing = ", ".join(cluster.silent()) or "none of them, but they do not join"
    return (
        f"The cluster of {cluster.size} workers is not complete after {seconds:g} s "
        f"(--start_timeout). Not reached: {missing}."
    )


@contextlib.contextmanager
def watched(cluster: Cluster, looks: float = LOOKS, silent: float = SILENT) -> Iterator[None]:
    """Ends this process, with code `LOST`, when another worker has not answered on its port for a while.

    TensorFlow tells of one that has ended only where something is awaited from it, and not always soon.

    Args:
        cluster: the workers.
        looks: seconds between looks at them.
        silent: seconds of silence after which one is lost.
    """
    done = threading.Event()

    def watch() -> None:
        heard = dict.fromkeys(cluster.others(), time.monotonic())
        while not done.wait(looks):
            for other in heard.keys() - cluster.silent():
                heard[other] = time.monotonic()
            for other, last in heard.items():
                if time.monotonic() - last > silent and not done.is_set():
                    told = f"as {other} has not answered for {silent:g} s"
                    leave(LOST, f"error: worker {cluster.rank} ends, {told}.")

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextlib.contextmanager
def together(group: Group) -> Iterator[None]:
    """Work that all workers do: when one ends before it is done, so do the others, with code `LOST`."""
    try:
        yield
        group.wait()
    except _OF_A_PEER as error:
        told = str(error).strip().splitlines()[0]
        leave(LOST, f"error: worker {group.rank} ends, as another worker is lost ({told}).")
    finally:
        enter(None)
    # Nobody leaves before all know that all are done; who has left by then is not lost.
    with contextlib.suppress(*_OF_A_PEER):
        group.wait()


@contextlib.contextmanager
def joined(timeout: float = 300, tables: str = AUTO) -> Iterator[Group | None]:
    """Work as a worker of the cluster that `TF_CONFIG` names; alone where there is no such.

    Within another such context it is the same cluster. To be entered before the first tensor is made.
    Everything inside is done by all workers alike.

    Args:
        timeout: seconds to wait for the others.
        tables: see `Group`.

    Raises:
        RunError: a `TF_CONFIG` that cannot be read, or a port that is in use.

    Example:
        >>> with joined() as group:
        ...     print(group)
        None
    """
    cluster = Cluster.from_environment(os.environ)
    if cluster is None or current() is not None:
        yield current()
        return
    group = join(cluster, timeout, tables)
    with watched(cluster), together(group):
        yield group


def leave(code: int, told: str = "") -> None:
    """Ends the process at once: TensorFlow would wait for workers that are gone."""
    if told:
        print(told, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
