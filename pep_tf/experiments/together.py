"""A command on several workers: how they are started, and what they must have in common."""

import hashlib
import os
import pathlib
import platform
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from pep_tf import distributed
from pep_tf.command_line import Command
from pep_tf.distributed import Group
from pep_tf.distributed.cluster import VARIABLE, Cluster
from pep_tf.distributed.group import AUTO, TABLES
from pep_tf.distributed.launch import end_with_parent, launch
from pep_tf.errors import RunError
from pep_tf.experiments.config import Config
from pep_tf.experiments.environment import MAIN, versions, without_flags
from pep_tf.training.methods import PEP

_OURS = ("workers", "restarts")  # flags that are for the process that starts the others
_NONCE = ".together"


def define(command: Command) -> None:
    """Defines the flags of several workers."""
    command.heading("Several workers")
    command.whole("workers", 1, "processes on this machine that train together", least=1)
    command.choice(
        "tables",
        None,
        TABLES,
        "tables whole on each worker, or a part of the rows on each; auto: those of 2^20 rows and more",
        shown=AUTO,
    )
    command.whole(
        "restarts",
        0,
        "with --workers: starts after a worker was lost, from the last checkpoint",
        least=0,
    )
    command.real(
        "start_timeout", None, "seconds to wait for all workers at the start", least=1, shown="300"
    )


def run(command: Command, arguments: Sequence[str], main: Callable[[], int]) -> int:
    """Runs `main`: in this process, as a worker of the cluster it belongs to, or on workers it starts."""
    options, given = command.values, command.given()
    cluster = Cluster.from_environment(os.environ)
    if options.workers > 1 and cluster is not None:
        raise RunError(
            f"--workers starts a cluster of its own, but {VARIABLE} names one. Leave one out."
        )
    if options.restarts and options.workers == 1:
        raise RunError("`restarts` has no effect without --workers. Leave it out.")
    for name in ("start_timeout", "tables"):
        if name in given and cluster is None and options.workers == 1:
            raise RunError(f"`{name}` has no effect without --workers or {VARIABLE}. Leave it out.")
    if options.workers > 1:
        return launch(MAIN, without_flags(arguments, _OURS), options.workers, options.restarts)
    if cluster is None:
        return main()
    end_with_parent()
    with distributed.joined(options.start_timeout or 300, options.tables or AUTO):
        return main()


def refuse(group: Group, config: Config, rows: int) -> None:
    """Refuses what several workers cannot train, before hours of training.

    Args:
        group: the workers.
        config: of the run.
        rows: of the table.

    Raises:
        RunError: names it.
    """
    if config.batch_size < group.size:
        raise RunError(
            f"`batch_size` must be at least the number of workers, {group.size}. Received: "
            f"{config.batch_size}"
        )
    if group.shards(rows) and config.method not in (PEP, "magnitude"):
        raise RunError(
            f"--method={config.method} needs whole tables on each worker: add --tables=replicated."
        )


def one_after_the_other(load: Callable[[], Any]) -> Any:
    """Calls `load` on worker 0 first, so that its files on disk are there for the others."""
    if distributed.is_leader():
        found = load()
        distributed.wait()
        return found
    distributed.wait()
    return load()


def compare(group: Group, config: dict[str, Any], identity: dict[str, Any]) -> None:
    """Raises RunError if workers have other code, versions, options or data than worker 0."""
    own = {
        **versions(),
        "--tables": group.tables,
        "python": platform.python_version(),
        "code": _code(),
        **{f"--{name}": value for name, value in config.items()},
        **{f"data: {name}": value for name, value in identity.items()},
    }
    found = group.gather_objects({name: str(value) for name, value in own.items()})
    for rank, other in enumerate(found):
        for name in sorted(set(other) | set(found[0])):
            if other.get(name) != found[0].get(name):
                raise RunError(
                    f"Worker {rank} differs from worker 0 in {name}: {_short(other.get(name))}, there "
                    f"{_short(found[0].get(name))}. All must run the same command on the same data."
                )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 80 else text[:77] + "..."


def _code() -> str:
    """md5 of the package's modules."""
    root, found = pathlib.Path(__file__).parents[1], hashlib.md5(usedforsecurity=False)
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def check_folder(group: Group, folder: pathlib.Path) -> None:
    """Makes sure that all workers see the run folder that worker 0 has opened.

    Raises:
        RunError: a worker that finds another folder, or none, at that path.
    """
    path, told = folder / _NONCE, group.from_leader(secrets.token_hex(8))
    if group.rank == 0:
        path.write_text(told, "utf-8")
    group.wait()
    try:
        found = path.read_text("utf-8")
    except OSError:
        found = ""
    blind = [rank for rank, seen in enumerate(group.gather_objects(found)) if seen != told]
    if group.rank == 0:
        path.unlink(missing_ok=True)
    if blind:
        raise RunError(
            f"--run_dir={folder} must lie on a file system that all workers see. Worker {blind[0]} does "
            "not find there what worker 0 wrote."
        )
