"""Memory that a SavedModel takes, measured in a process of its own: see `benchmarks.serving`."""

import json
import re
import sys
from pathlib import Path

import numpy as np

from benchmarks.serving_session import open_session


def resident_mb(which: str = "VmRSS") -> float:
    """Resident memory now (`VmRSS`) or at its highest since the last reset (`VmHWM`), in MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{which}:\s+(\d+) kB", status).group(1)) * 1024 / 1e6


def measure(warm: str, model: str, batches: str) -> dict[str, float]:
    """Growth from before the load to after the first answer, and to the peak of all batches.

    `warm` is loaded and run first, so that the libraries are in memory before the count begins.
    """
    ids = np.load(batches)
    open_session(warm)({"ids": np.zeros_like(ids[0][:1])})
    before = resident_mb()
    run = open_session(model)
    run({"ids": ids[0][:1]})
    growth = resident_mb() - before
    Path("/proc/self/clear_refs").write_text("5")  # Resets the peak.
    for batch in ids:
        run({"ids": batch})
    return {"load": growth, "peak": resident_mb("VmHWM") - before}


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
