"""The progress of a run. The command line and notebooks bring their own `Reporter`."""

from typing import Any, Protocol


class Reporter(Protocol):
    """Receives the progress of a run; see `Silent` for one that keeps quiet."""

    def start(self, stage: str, total_steps: int, done_steps: int = 0) -> None:
        """A stage begins, or is taken up again at `done_steps`."""
        ...

    def update(self, step: int, **values: Any) -> None:
        """The stage has done `step` steps; `values` are the latest loss, nnz, validation AUC, ..."""
        ...

    def histograms(self, step: int, **arrays: Any) -> None:
        """Arrays worth a histogram, such as thresholds; asked for once per epoch."""
        ...

    def note(self, message: str) -> None:
        """Something a person should read, at once."""
        ...

    def finish(self) -> None:
        """The stage is done."""
        ...


class Silent:
    """Reports nothing."""

    def start(self, stage: str, total_steps: int, done_steps: int = 0) -> None: ...

    def update(self, step: int, **values: Any) -> None: ...

    def histograms(self, step: int, **arrays: Any) -> None: ...

    def note(self, message: str) -> None: ...

    def finish(self) -> None: ...


class Printed(Silent):
    """Prints notes on lines of their own, below Keras's progress bar."""

    def note(self, message: str) -> None:
        print(f"\n{message}", flush=True)
