"""What libraries write to standard error, and how much of it is left out."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from absl import logging

# TensorFlow writes these as it is imported, whatever the level of its log: that there is no GPU's driver.
OF_THE_IMPORT = ("cudart_stub.cc", "All log messages before absl::InitializeLog()")
_FILTER = """
import sys
for line in sys.stdin.buffer:
    if not any(text.encode() in line for text in sys.argv[1:]):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


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
def lines_without(*texts: str) -> Iterator[None]:
    """Leaves out lines with any of `texts` of what is written to the process's standard error meanwhile.

    C++ does not write through `sys.stderr`, but to the file below it. A process of its own passes the
    other lines on at once, so that none is lost if this process aborts.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER, *texts]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=kept) as passed:
        assert passed.stdin is not None
        os.dup2(passed.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
