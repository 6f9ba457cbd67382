"""TFDS without what it prints on its own."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow_datasets as tfds


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of TFDS and nothing on standard output while it is open."""
    tfds.disable_progress_bar()
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        tfds.enable_progress_bar()
