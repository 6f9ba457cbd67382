"""Resident memory of a command over its time.

    python -m benchmarks.memory --every=10 -- python -m data_prep.criteo.prepare --raw=train.txt --out=DIR

runs the command, its output where it would go, and then prints one JSON object: `seconds`,
`peak_rss_mb` (the kernel's own high-water mark of the process, without its children), and the
samples `at_s` and `rss_mb`. `--output=FILE` keeps the object in a file as well, written anew with
each sample, so that a command that is killed leaves what it used so far. Linux only.
"""

import json
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from pep_tf.command_line import Command

_COMMAND = Command("benchmarks.memory", __doc__, arguments="-- CMD ...")
_EVERY = _COMMAND.real("every", 1.0, "seconds between samples", least=0.05)
_OUTPUT = _COMMAND.path("output", None, "file for the JSON object")

_LOOK_S = 0.05  # the high-water mark is gone with the process, so it is read this often


def memory_mb(pid: int) -> tuple[float, float] | None:
    """Resident and peak resident MB of a process; None once it is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    if "VmRSS" not in sizes:  # it has ended and waits to be collected
        return None
    return int(sizes["VmRSS"]) / 1024, int(sizes["VmHWM"]) / 1024


def watch(command: list[str], every: float, output: pathlib.Path | None = None) -> dict[str, Any]:
    """Runs a command and samples its memory.

    Args:
        command: program and arguments.
        every: seconds between samples.
        output: file that is written anew with each sample.

    Returns:
        What the module's docstring lists, with `exit_code`.
    """
    started, samples, peak = time.monotonic(), [], 0.0
    process = subprocess.Popen(command)

    def facts() -> dict[str, Any]:
        return {
            "command": shlex.join(command),
            "exit_code": process.poll(),
            "seconds": round(time.monotonic() - started, 1),
            "peak_rss_mb": round(peak),
            "at_s": [round(at, 1) for at, _ in samples],
            "rss_mb": [round(now) for _, now in samples],
        }

    while process.poll() is None:
        if found := memory_mb(process.pid):
            now, peak = found
            at = time.monotonic() - started
            if not samples or at - samples[-1][0] >= every:
                samples.append((at, now))
                if output:
                    output.write_text(json.dumps(facts()) + "\n")
        time.sleep(_LOOK_S)
    if output:
        output.write_text(json.dumps(facts()) + "\n")
    return facts()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code of the command it ran."""

    def run(command: list[str]) -> int:
        found = watch(command, _EVERY.value, _OUTPUT.value)
        print(json.dumps(found))
        return found["exit_code"]

    return _COMMAND.run(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
