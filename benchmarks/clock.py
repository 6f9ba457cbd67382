"""Wall and processor time of one call."""

import time
from collections.abc import Callable


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time that a call takes, and seconds that all cores spend in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu
