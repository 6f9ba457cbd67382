"""Runs that are cut off, and what is compared afterwards."""

import numpy as np

from pep_tf.training import Silent


class Interrupt(Exception):
    """Stands for a kill."""


class Diary(Silent):
    """Notes what a run reports; ends it at the `at`-th update."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.updates, self.notes, self.stages = at, [], [], []
        self.finished = False

    def start(self, stage, total_steps, done_steps=0):
        self.stages.append((stage, total_steps, done_steps))

    def update(self, step, **values):
        self.updates.append({"step": step, **values})
        if len(self.updates) == self.at:
            raise Interrupt

    def note(self, message):
        self.notes.append(message)

    def finish(self):
        self.finished = True


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Bit for bit the same arrays by the same names."""
    assert set(one) == set(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
