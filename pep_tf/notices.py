"""What TensorFlow writes to standard error while it starts."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import tensorflow as tf

# CUDA's code 303: there is no driver. TensorFlow logs it as an error on every machine without a GPU.
_NO_DRIVER = (
    b"failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)"
)


def find_devices() -> None:
    """Has TensorFlow look for its devices, which commands do before all else.

    That there is no GPU is no error: only the line that says so is left out.
    """
    with lines_without(_NO_DRIVER):
        tf.config.list_physical_devices()


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
