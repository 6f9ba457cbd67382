"""Sums of a batch's gradients by row: this package's `summed` against TensorFlow's segment sum.

    python -m benchmarks.sum_rows

prints one JSON object: for each width, the median milliseconds of wall and of processor time of both, and
the ratio of the latter. 39,936 rows (1,024 x 39 fields) fall on 10,300 places, most of them on few.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.clock import timed
from pep_tf.command_line import Command
from pep_tf.tables.distinct import summed

_ROWS, _PLACES = 39_936, 10_300
_COMMAND = Command("benchmarks.sum_rows", __doc__)
_DIMS = _COMMAND.wholes("dims", (1, 16, 24, 64), "widths of the rows", least=1)
_REPEATS = _COMMAND.whole("repeats", 50, "timed calls of each, in turn", least=1)
_SEED = _COMMAND.whole("seed", 0, "of every draw", least=0)


def measure(dim: int) -> dict[str, Any]:
    """Times both on the same rows, in turn."""
    rng = np.random.default_rng(_SEED.value)
    often = (_PLACES * rng.random(_ROWS - _PLACES) ** 4).astype(np.int32)
    places = tf.constant(rng.permutation(np.concatenate([np.arange(_PLACES), often])), tf.int32)
    values = tf.constant(rng.normal(size=(_ROWS, dim)), tf.float32)
    ways: dict[str, Callable] = {
        "summed": tf.function(lambda: summed(values, places, tf.constant(_PLACES))),
        "segment_sum": tf.function(lambda: tf.math.unsorted_segment_sum(values, places, _PLACES)),
    }
    first, second = (way().numpy() for way in ways.values())
    if not np.array_equal(first, second):
        raise SystemExit("The two sums differ.")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(_REPEATS.value):
        for name, way in ways.items():
            times[name].append(timed(way))
    medians = {name: np.median(found, axis=0) * 1e3 for name, found in times.items()}
    return {
        **{
            name: {"ms": round(float(wall), 3), "cpu_ms": round(float(cpu), 3)}
            for name, (wall, cpu) in medians.items()
        },
        "cpu_ratio": round(float(medians["summed"][1] / medians["segment_sum"][1]), 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""

    def run(_: list[str]) -> None:
        print(json.dumps({dim: measure(dim) for dim in _DIMS.value}, indent=2))

    return _COMMAND.run(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
