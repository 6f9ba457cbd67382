"""What the system does with files beyond reading and writing them, where it can."""

import os
import pathlib
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # in a folder that one process at a time works in


def lock(folder: pathlib.Path) -> IO[str]:
    """Makes a folder, and keeps other processes out of it until the file that is returned is closed.

    A system without `flock` keeps nobody out.

    Raises:
        BlockingIOError: another process works in it.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = (folder / LOCK).open("w")
    if fcntl is not None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            raise
    return held


def reserve(file: IO[bytes], size: int) -> None:
    """Takes room for an empty file, of zeros, so that a full disk is an error now and not later.

    Raises:
        OSError: there is less room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    block = bytes(1 << 20)  # macOS, Windows
    for start in range(0, size, len(block)):
        file.write(block[: size - start])
    file.flush()


def sync(path: pathlib.Path) -> None:
    """Has a file, or the names in a folder, outlive a loss of power."""
    if path.is_dir() and os.name == "nt":  # which opens no folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
