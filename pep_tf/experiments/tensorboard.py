"""The progress of a run as TensorBoard scalars and histograms."""

import pathlib
from typing import Any

import tensorflow as tf


class TensorBoardReporter:
    """Writes every value that a stage reports to `<folder>/<stage>/`.

    Args:
        folder: for `tensorboard --logdir`.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def start(self, stage: str, total_steps: int, done_steps: int = 0) -> None:
        self._writer = tf.summary.create_file_writer(str(self._folder / stage.replace(" ", "_")))

    def update(self, step: int, **values: Any) -> None:
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def histograms(self, step: int, **arrays: Any) -> None:
        with self._writer.as_default(step=step):
            for name, array in arrays.items():
                tf.summary.histogram(name, array)

    def note(self, message: str) -> None: ...

    def finish(self) -> None:
        self._writer.close()
