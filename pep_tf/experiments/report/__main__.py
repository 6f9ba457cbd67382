"""Writes report.html and its figures for a run or a search, or compares several runs.

The command line: `python -m pep_tf.experiments.report RUN_DIR [RUN_DIR ...]`.
"""

import sys
from collections.abc import Sequence

from pep_tf.command_line import Command
from pep_tf.experiments.report.write import write_report
from pep_tf.paths import shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page and prints where it is; returns the exit code."""
    command = Command("pep_tf.experiments.report", __doc__, arguments="RUN_DIR [RUN_DIR ...]")
    output = command.path(
        "output",
        None,
        "where report.html and figures/ go",
        shown="the run's folder; for several runs `comparison` beside the first",
    )
    overwrite = command.switch(
        "overwrite",
        False,
        "replace a page that shows more than this one will: of what it was drawn from, the folder no "
        "longer has all",
    )

    def write(folders: list[str]) -> None:
        print(shown(write_report(folders, output.value, overwrite=overwrite.value)))

    return command.run(write, arguments)


if __name__ == "__main__":
    sys.exit(main())
