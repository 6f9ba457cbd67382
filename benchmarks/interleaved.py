"""Settings of a benchmark timed in turn, one process each: machines are noisy, so only ratios count."""

import json
import subprocess
import sys
from typing import Any

import numpy as np


def compare(module: str, settings: list[list[str]], pairs: int, figure: str) -> dict[str, Any]:
    """Ratios of each setting to the last, over rounds in which every setting has its turn.

    Each process prepares itself once, then answers every line that it reads with a JSON object on
    a line of its own (flag `--rounds` of the module); only one works at a time.

    Args:
        module: to run as `python -m`.
        settings: flags of each process.
        pairs: rounds; one more before them is not counted.
        figure: key of the number to compare.

    Returns:
        Median, least and greatest ratio of each setting, and what each printed last.
    """
    processes = [_start(module, own) for own in settings]
    try:
        rounds = [[_round(process) for process in processes] for _ in range(1 + pairs)][1:]
    finally:
        for process in processes:
            process.kill()
    figures = np.array([[result[figure] for result in results] for results in rounds])
    ratios = figures[:, :-1] / figures[:, -1:]
    return {
        "ratio_to": " ".join(settings[-1]),
        "ratios": {
            " ".join(own): {
                "median": round(float(np.median(of)), 3),
                "min": round(float(of.min()), 3),
                "max": round(float(of.max()), 3),
            }
            for own, of in zip(settings, ratios.T, strict=False)
        },
        figure: [round(float(x), 2) for x in np.median(figures, axis=0)],
        "last_round": rounds[-1],
    }


def _start(module: str, flags: list[str]) -> subprocess.Popen:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", module, "--rounds", *flags]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def _round(process: subprocess.Popen) -> dict[str, Any]:
    assert process.stdin is not None, "made with a pipe"
    assert process.stdout is not None, "made with a pipe"
    process.stdin.write("go\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"Failed, run it alone to see why: {' '.join(process.args)}")
    return json.loads(answer)
