"""Where a run was made: its command, the machine and the versions that its results depend on."""

import datetime
import os
import platform
import shlex
from collections.abc import Collection, Sequence
from importlib import metadata
from typing import Any

import tensorflow as tf

from pep_tf.training.memory_pool import machine_memory
from pep_tf.version import __version__

MAIN = "pep_tf.experiments.main"
_SWITCHES = ("resume", "noresume")
_FORGOTTEN = ("run_dir", *_SWITCHES)  # where a run was kept is no part of what it was


def environment(arguments: Sequence[str] | None, module: str = MAIN) -> dict[str, Any]:
    """JSON-ready facts on where a run is made.

    Args:
        arguments: flags of the command line; None for what was called from Python.
        module: whose command line it is.

    Returns:
        `command` (repeats the run in a folder of its own; left out without `arguments`), `started`
        (UTC, ISO 8601), `device`, `machine` (processor, cores, memory in bytes, system) and
        `versions`.
    """
    called = {} if arguments is None else {"command": command(arguments, module)}
    return {
        **called,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory": machine_memory(),
            "system": platform.platform(),
        },
        "versions": versions() | {"python": platform.python_version()},
    }


def command(arguments: Sequence[str], module: str = MAIN) -> str:
    """The command line for a shell, without the flags that say where the run is kept."""
    kept = without_flags(arguments, _FORGOTTEN, switches=_SWITCHES)
    return shlex.join(["python", "-m", module, *kept])


def without_flags(
    arguments: Sequence[str], flags: Collection[str], switches: Collection[str] = ()
) -> list[str]:
    """A command line without some flags and their values; `switches` among them take none."""
    kept, skip = [], False
    for argument in arguments:
        name, equals, _ = argument.lstrip("-").partition("=")
        if skip:
            skip = False
        elif name in flags:
            skip = name not in switches and not equals
        else:
            kept.append(argument)
    return kept


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return {"pep_tf": __version__} | {
        name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")
    }


def device() -> str:
    """The device that TensorFlow will train on."""
    if gpus := tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"CPU, {os.cpu_count()} cores"


def _processor() -> str:
    """The processor's name if Linux knows it, else the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            )
            return next(names, platform.machine())
    except OSError:
        return platform.machine()
