"""`python -m pep_tf.experiments.report RUN_DIR [RUN_DIR ...]`: one run's page, or a comparison of several."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from pep_tf.errors import PepError
from pep_tf.experiments.report.write import write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page and prints where it is; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pep_tf.experiments.report",
        description="Writes report.html and its figures for a run or a search, or compares several runs.",
    )
    parser.add_argument(
        "run_dir",
        metavar="RUN_DIR",
        nargs="+",
        type=pathlib.Path,
        help="folder of a run or a search",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=pathlib.Path,
        help="where report.html and figures/ go [the run's folder; for several runs `comparison` beside "
        "the first]",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a page that shows more than this one will: of what it was drawn from, the folder no "
        "longer has all",
    )
    options = parser.parse_args(arguments)
    try:
        print(write_report(options.run_dir, options.output, overwrite=options.overwrite))
    except PepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
