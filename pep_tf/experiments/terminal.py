"""What a run says on the terminal: a live line on one, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from pep_tf.experiments.text import duration
from pep_tf.training import Reporter

_FORMATS = {"loss": ".4f", "validation_auc": ".4f", "threshold": ".2f"}
_LABELS = {"validation_auc": "val AUC", "threshold": "s"}
_PLAIN_SECONDS = 10.0  # between two lines when the output is not a terminal
_LIVE = (
    "{desc} {percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt} [{elapsed}, ETA {remaining}{postfix}]"
)


class TerminalReporter:
    """Shows stage, step, ETA, examples/s, loss, non-zeros against the next budget and validation AUC.

    Args:
        batch_size: rows per step, for examples/s.
        prefix: put before the stage's name.
        stream: where to write; a live line only if it is a terminal.
    """

    def __init__(self, batch_size: int, prefix: str = "", stream: Any = None) -> None:
        self._prefix = prefix
        self._stream = stream or sys.stderr
        self._batch_size = batch_size
        self._live = self._stream.isatty()
        self._bar: tqdm[Any] | None = None
        self._values: dict[str, Any] = {}
        self._said = 0.0

    def start(self, stage: str, total_steps: int, done_steps: int = 0) -> None:
        stage = self._prefix + stage
        self._values, self._said = {}, time.monotonic()
        self._bar = tqdm(
            total=total_steps,
            initial=done_steps,
            desc=stage,
            unit=" steps",
            file=self._stream if self._live else None,
            disable=None if self._live else True,
            dynamic_ncols=True,
            leave=False,
            bar_format=_LIVE,
        )
        self._start = (stage, time.monotonic(), done_steps, total_steps)
        if not self._live:
            self._print(f"{stage}: starts" + (f" at step {done_steps:,}" if done_steps else ""))

    def update(self, step: int, **values: Any) -> None:
        assert self._bar is not None
        self._values.update(values)
        stage, started, first, total = self._start
        elapsed = max(time.monotonic() - started, 1e-9)
        pace = max(step - first, 1) / elapsed
        facts = ", ".join([f"{pace * self._batch_size:,.0f} examples/s", *shown(self._values)])
        if self._live:
            self._bar.n = step
            self._bar.set_postfix_str(facts)
        elif time.monotonic() - self._said >= _PLAIN_SECONDS:
            eta = duration((total - step) / pace)
            self._print(f"{stage}: step {step:,} of at most {total:,}, ETA {eta}, {facts}")
            self._said = time.monotonic()

    def histograms(self, step: int, **arrays: Any) -> None: ...

    def note(self, message: str) -> None:
        self._print(message)

    def finish(self) -> None:
        assert self._bar is not None
        self._bar.close()
        stage, started, _, _ = self._start
        facts = ", ".join([f"{time.monotonic() - started:.1f} s", *shown(self._values)])
        self._print(f"{stage}: done in {facts}")

    def _print(self, message: str) -> None:
        tqdm.write(message, file=self._stream)
        self._stream.flush()


def shown(values: dict[str, Any]) -> list[str]:
    """The latest values in words: `loss 0.4123`, `nnz 26,425 → 13,212`, `val AUC 0.8512`."""
    facts = []
    for name, value in values.items():
        if name == "nnz":
            ahead = f" → {values['next_budget']:,.0f}" if "next_budget" in values else ""
            facts.append(f"nnz {value:,.0f}{ahead}")
        elif name != "next_budget":
            facts.append(f"{_LABELS.get(name, name)} {value:{_FORMATS.get(name, ',.0f')}}")
    return facts


class Reporters:
    """Passes everything on to several reporters."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = reporters

    def start(self, stage: str, total_steps: int, done_steps: int = 0) -> None:
        for reporter in self._reporters:
            reporter.start(stage, total_steps, done_steps)

    def update(self, step: int, **values: Any) -> None:
        for reporter in self._reporters:
            reporter.update(step, **values)

    def histograms(self, step: int, **arrays: Any) -> None:
        for reporter in self._reporters:
            reporter.histograms(step, **arrays)

    def note(self, message: str) -> None:
        for reporter in self._reporters:
            reporter.note(message)

    def finish(self) -> None:
        for reporter in self._reporters:
            reporter.finish()
