"""`pep-tf COMMAND ...`: the commands of the package under one name."""

import importlib
import sys
from collections.abc import Sequence

from pep_tf.extras import MissingExtra

COMMANDS = {
    "train": ("pep_tf.experiments.main", "baseline, pruning, tickets, exports, page of a run"),
    "search": ("pep_tf.tuning.search", "searches thresholds by KerasTuner"),
    "report": ("pep_tf.experiments.report.__main__", "draws the page of runs and searches again"),
    "inspect": ("pep_tf.export.inspect", "what is inside an export, and whether it is whole"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Hands the rest of a command line to the command that it names; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[0] if arguments else "help"
    if name not in COMMANDS:
        print(
            "usage: pep-tf COMMAND [--flag=value ...]    (pep-tf COMMAND --help lists the flags)\n"
        )
        print("\n".join(f"  {name:<10}{about}" for name, (_, about) in COMMANDS.items()))
        if name in ("help", "-h", "--help"):
            return 0
        print(f"error: no such command: {name}", file=sys.stderr)
        return 1
    module, _ = COMMANDS[name]
    try:
        command = importlib.import_module(module)
    except MissingExtra as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return command.main(arguments[1:])
