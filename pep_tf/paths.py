"""Paths as people write them, turned into one spelling in one place."""

import os
import pathlib

from pep_tf.errors import PepError


def resolve(path: str | os.PathLike[str]) -> pathlib.Path:
    """The absolute path that `path` means, so that two spellings of one file are equal.

    Args:
        path: absolute or relative, with `~` or `~user` for a home, `..` and symbolic links; it need
            not exist.

    Returns:
        The path without any of these.

    Raises:
        PepError: a home that is not known, links that go in a circle, a name that no file can have, or none.

    Example:
        >>> resolve("~/data/../runs") == pathlib.Path.home().resolve() / "runs"
        True
    """
    if not str(path):
        raise PepError("A path must not be empty: `.` is the working folder.")
    try:
        return pathlib.Path(path).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise PepError(f"The path {str(path)!r} cannot be used: {error}.") from None


def shown(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path as a message shows it: relative to the working folder if it is below it."""
    path = resolve(path)
    here = pathlib.Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
