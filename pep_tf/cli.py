"""`pep-tf COMMAND ...`: the commands of the package under one name."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pep_tf.extras import MissingExtra
from pep_tf.version import __version__

_PREPARE = {
    "criteo": ("pep_tf.prepare.criteo", "Criteo's click log (Kaggle, 2014)"),
    "avazu": ("pep_tf.prepare.avazu", "Avazu's click log (Kaggle, 2014)"),
    "movielens": ("pep_tf.prepare.movielens", "MovieLens-1M"),
    "table": ("pep_tf.prepare.table", "a table of your own, of any size"),
}
COMMANDS: dict[str, tuple[str | dict[str, tuple[str, str]], str]] = {
    "train": ("pep_tf.experiments.main", "baseline, pruning, tickets, exports, page of a run"),
    "search": ("pep_tf.tuning.search", "searches thresholds by KerasTuner"),
    "prepare": (_PREPARE, "writes a data set as a store, from which training streams"),
    "report": ("pep_tf.experiments.report.__main__", "draws the page of runs and searches again"),
    "export": ("pep_tf.experiments.export", "writes a saved Keras model or a ticket for serving"),
    "inspect": ("pep_tf.export.inspect", "what is inside an export, and whether it is whole"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Hands the rest of a command line to the command that it names; returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if [*given] == ["--version"]:
        print(__version__)
        return 0
    return _hand_over("pep-tf", COMMANDS, given)


def _hand_over(
    called: str, commands: Mapping[str, tuple[Any, str]], arguments: Sequence[str]
) -> int:
    name = arguments[0] if arguments else "help"
    if name not in commands:
        print(
            f"usage: {called} NAME [--flag=value ...]    ({called} NAME --help lists the flags)\n"
        )
        print("\n".join(f"  {name:<10}{about}" for name, (_, about) in commands.items()))
        if name in ("help", "-h", "--help"):
            return 0
        print(f"error: no such command: {name}", file=sys.stderr)
        return 1
    target, _ = commands[name]
    if isinstance(target, dict):
        return _hand_over(f"{called} {name}", target, arguments[1:])
    try:
        command = importlib.import_module(target)
    except MissingExtra as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return command.main(arguments[1:])
