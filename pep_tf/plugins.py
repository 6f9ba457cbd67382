"""Modules of your own that register models, data sets, methods and granularities."""

import importlib
import itertools
import pathlib
import sys
from collections.abc import Sequence

from pep_tf.errors import PepError, RunError

FLAG = "plugin"
ABOUT = (
    "modules to import first, which register models, data sets, methods or granularities; found in the "
    "working folder, or installed"
)


def load_plugins(arguments: Sequence[str]) -> None:
    """Imports the modules that `--plugin=module,...` names in a command line.

    Before the flags are defined: what the modules register are choices of flags.

    Raises:
        RunError: a module that is not there, or that fails.
    """
    for flag, following in itertools.pairwise([*arguments, ""]):
        name, equals, value = flag.lstrip("-").partition("=")
        if flag.startswith("-") and name == FLAG:
            for module in (value if equals else following).split(","):
                _load(module.strip())


def _load(module: str) -> None:
    here = str(pathlib.Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        importlib.import_module(module)
    except PepError:
        raise
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] and error.name != module:
            raise RunError(f"--{FLAG}={module} fails: {error}") from error
        raise RunError(
            f"--{FLAG}={module}: there is no such module in the working folder, nor is it installed."
        ) from None
    except (Exception, SystemExit) as error:
        raise RunError(f"--{FLAG}={module} fails: {type(error).__name__}: {error}") from error
