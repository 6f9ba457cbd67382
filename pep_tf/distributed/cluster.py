"""Which processes work together: what `TF_CONFIG` says."""

import dataclasses
import json
import socket
from collections.abc import Mapping
from typing import Any

from pep_tf.errors import RunError

VARIABLE = "TF_CONFIG"
_JOBS = ("chief", "worker")  # in the order of ranks
_FORM = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers, and which of them this process is.

    Attributes:
        hosts: `host:port` of each, by rank.
        rank: of this process.
    """

    hosts: tuple[str, ...]
    rank: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Cluster | None":
        """The cluster that `TF_CONFIG` names; None without one, or of one worker.

        Raises:
            RunError: what cannot be read, names an address twice, or a task that is no worker.
        """
        if not (text := environment.get(VARIABLE)):
            return None
        try:
            told = json.loads(text)
        except ValueError as error:
            raise RunError(
                f"{VARIABLE} must be JSON, {_FORM}. Received: {text!r} ({error})"
            ) from None
        own = cls._read(told)
        return own if len(own.hosts) > 1 else None

    @classmethod
    def _read(cls, told: Any) -> "Cluster":
        try:
            jobs = {job: [str(host) for host in hosts] for job, hosts in told["cluster"].items()}
            kind, index = told["task"]["type"], int(told["task"]["index"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RunError(f"{VARIABLE} must be {_FORM}. Received: {json.dumps(told)}") from None
        if other := sorted(set(jobs) - set(_JOBS)):
            raise RunError(
                f"{VARIABLE} must name tasks of the kinds {', '.join(_JOBS)}. Received: {other}"
            )
        hosts = [host for job in _JOBS for host in jobs.get(job, [])]
        for host in hosts:
            if hosts.count(host) > 1:
                raise RunError(f"{VARIABLE} must name each worker once. Received: {host} twice")
            if not host.rpartition(":")[2].isdecimal():
                raise RunError(f"{VARIABLE} must name hosts as host:port. Received: {host!r}")
        if kind not in jobs or not 0 <= index < len(jobs[kind]):
            raise RunError(
                f"{VARIABLE} must name a task of the cluster as this process's own. "
                f"Received: {kind} {index}"
            )
        return cls(tuple(hosts), hosts.index(jobs[kind][index]))

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self.hosts)

    @property
    def port(self) -> int:
        """Of this process."""
        return int(self.hosts[self.rank].rpartition(":")[2])

    def check_port(self) -> None:
        """Raises RunError if another program listens on this process's port.

        TensorFlow's server would share it.
        """
        with socket.socket() as tried:
            tried.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # of one that has just ended
            try:
                tried.bind(("", self.port))
            except OSError as error:
                raise RunError(
                    f"Port {self.port} of worker {self.rank} is in use: {error.strerror}. Name another "
                    f"one in {VARIABLE}, or end the program that has it."
                ) from None

    @property
    def host(self) -> str:
        """Of this process."""
        return self._names()[self.rank]

    @property
    def here(self) -> int:
        """How many of the workers are on this one's host."""
        return self._names().count(self.host)

    @property
    def place(self) -> int:
        """Number of this worker among those on its host."""
        return self._names()[: self.rank].count(self.host)

    def _names(self) -> list[str]:
        return [host.rpartition(":")[0] for host in self.hosts]

    def others(self) -> list[str]:
        """What the other workers are called."""
        return [self._name(rank) for rank in range(self.size) if rank != self.rank]

    def silent(self, seconds: float = 1.0) -> list[str]:
        """Those of them that do not answer on their port."""
        return [
            self._name(rank)
            for rank, host in enumerate(self.hosts)
            if rank != self.rank and not _answers(host, seconds)
        ]

    def _name(self, rank: int) -> str:
        return f"worker {rank} on {self.hosts[rank]}"


def local_cluster(size: int) -> list[str]:
    """`TF_CONFIG` of each of so many workers on this machine, on ports that are free."""
    held = [socket.socket() for _ in range(size)]
    for own in held:
        own.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{own.getsockname()[1]}" for own in held]
    for own in held:
        own.close()
    return [
        json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": rank}})
        for rank in range(size)
    ]


def _answers(host: str, seconds: float) -> bool:
    name, _, port = host.rpartition(":")
    try:
        socket.create_connection((name, int(port)), seconds).close()
    except OSError:
        return False
    return True
