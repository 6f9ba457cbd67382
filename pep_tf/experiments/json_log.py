"""Progress and results as JSON, one object per line, for `--log_format=json`."""

import dataclasses
import json
import sys
import time
from typing import Any

from pep_tf.experiments.results import Results
from pep_tf.training import Silent

_SECONDS = 1.0  # between two updates, so that a log stays readable


class JsonReporter(Silent):
    """Writes one JSON object per line.

    Each has `event` (`start`, `update`, `note`, `finish`), `stage` and `time` (seconds since the epoch);
    updates also `step`, `total_steps`, `eta_seconds`, `examples_per_second` and the latest values.
    No more than one update a second is written, and the last one of a stage.

    Args:
        batch_size: rows per step, for examples per second.
        prefix: put before the stage's name.
        stream: where to write.
    """

    def __init__(self, batch_size: int, prefix: str = "", stream: Any = None) -> None:
        self._stream = stream or sys.stderr
        self._batch_size, self._prefix = batch_size, prefix
        self._stage: str | None = None
        self._values: dict[str, Any] = {}
        self._held: dict[str, Any] | None = None

    def start(self, stage: str, total_steps: int, done_steps: int = 0) -> None:
        self._stage, self._values, self._held = self._prefix + stage, {}, None
        self._first, self._total = done_steps, total_steps
        self._started = self._said = time.monotonic()
        self._write("start", step=done_steps, total_steps=total_steps)

    def update(self, step: int, **values: Any) -> None:
        self._values.update(values)
        now = time.monotonic()
        pace = max(step - self._first, 1) / max(now - self._started, 1e-9)
        self._held = {
            "step": step,
            "total_steps": self._total,
            "eta_seconds": round((self._total - step) / pace, 1),
            "examples_per_second": round(pace * self._batch_size),
            **self._values,
        }
        if now - self._said >= _SECONDS:
            self._say_held()
            self._said = now

    def note(self, message: str) -> None:
        self._write("note", message=message)

    def finish(self) -> None:
        self._say_held()
        self._write("finish", seconds=round(time.monotonic() - self._started, 3))
        self._stage = None

    def _say_held(self) -> None:
        if self._held:
            self._write("update", **self._held)
        self._held = None

    def _write(self, event: str, **values: Any) -> None:
        line = {"event": event, "time": round(time.time(), 3), "stage": self._stage, **values}
        print(json.dumps(line, default=float), file=self._stream, flush=True)


def results_json(results: Results) -> str:
    """The rows, one object per line, each with `event` set to `result`."""
    rows = [{"event": "result", **dataclasses.asdict(row)} for row in results.rows]
    return "\n".join(json.dumps(row) for row in rows)
