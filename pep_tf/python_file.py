"""Python files that hold settings: a variable of a file that a person wrote."""

import os
import runpy
from typing import Any

from pep_tf.errors import PepError, RunError
from pep_tf.paths import resolve


def read_dict(path: str | os.PathLike[str], variable: str, flag: str) -> dict[str, Any]:
    """Runs a Python file; returns a dict that it defines.

    Args:
        path: the file.
        variable: name of the dict.
        flag: what the file was given to, for messages.

    Raises:
        RunError: a file that is missing, fails, or has no such dict.
    """
    path = resolve(path)
    try:
        found = runpy.run_path(str(path)).get(variable)
    except PepError:
        raise
    except FileNotFoundError as error:
        if error.filename != str(path):
            raise RunError(f"--{flag}={path} fails: {error}") from error
        raise RunError(f"--{flag}={path}: there is no such file.") from None
    except (Exception, SystemExit) as error:
        raise RunError(f"--{flag}={path} fails: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise RunError(f"--{flag}={path} must define a dict `{variable}`.")
    return found
