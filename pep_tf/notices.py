"""What libraries write to standard error, and how much of it is left out."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from pep_tf.driver import why_no_gpu

# CUDA's code 303: there is no driver. TensorFlow logs it as an error on every machine without a GPU.
_NO_DRIVER = (
    b"failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)"
)


def find_devices() -> None:
    """Has TensorFlow look for its devices, which commands do before all else.

    That there is no GPU is no error: only the line that says so is left out. That TensorFlow cannot
    use one is said in a line.
    """
    with lines_without(_NO_DRIVER):
        tf.config.list_physical_devices()
    if reason := why_no_gpu():
        print(f"warning: {reason}", file=sys.stderr)


@contextlib.contextmanager
def told_from(level: int) -> Iterator[None]:
    """Leaves out messages below a level of `absl.logging`, which libraries and this package use."""
    before = logging.get_verbosity()
    logging.set_verbosity(level)
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def lines_without(text: bytes) -> Iterator[None]:
    """Leaves out lines with `text` of what is written to the process's standard error meanwhile.

    Other lines are written when it closes. C++ does not write through `sys.stderr`, but to the file
    below it.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            lines.seek(0)
            os.write(2, b"".join(line for line in lines if text not in line))
