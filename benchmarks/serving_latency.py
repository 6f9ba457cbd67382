"""Latency of exported models whose sessions take turns, batch by batch: see `benchmarks.serving`."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.serving_session import open_session

BATCHES = (1, 32, 1024)
_POOL = 20  # different batches of each size
_LEAST_TURNS, _WARM_UP = 30, 10

Inputs = dict[str, np.ndarray]


def latency(
    versions: Mapping[str, Path],
    draw: Callable[[int], Inputs],
    seconds: float,
    signature: str = "ids",
) -> dict[str, dict[str, float]]:
    """p50 and p99 in ms of each form, and p50 over that of the form `dense`.

    Args:
        versions: `{form: folder of the version}`.
        draw: inputs for a number of rows.
        seconds: for each batch size.
        signature: which one is asked.
    """
    runs = {name: open_session(version, signature) for name, version in versions.items()}
    report: dict[str, dict[str, float]] = {name: {} for name in runs}
    for rows in BATCHES:
        pool = [draw(rows) for _ in range(_POOL)]
        times: dict[str, list[float]] = {name: [] for name in runs}
        end = time.perf_counter() + seconds
        turn = 0
        while time.perf_counter() < end or turn < _LEAST_TURNS:
            for name, run in runs.items():
                start = time.perf_counter()
                run(pool[turn % _POOL])
                if turn >= _WARM_UP:  # The first calls allocate.
                    times[name].append(1000 * (time.perf_counter() - start))
            turn += 1
        dense = np.percentile(times["dense"], 50)
        for name, measured in times.items():
            p50, p99 = np.percentile(measured, [50, 99])
            report[name] |= {
                f"p50_ms_batch_{rows}": round(float(p50), 3),
                f"p99_ms_batch_{rows}": round(float(p99), 3),
                f"p50_over_dense_batch_{rows}": round(float(p50 / dense), 3),
            }
    return report
