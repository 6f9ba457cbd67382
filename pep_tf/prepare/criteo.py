"""Prepares Criteo (Kaggle, 2014): `python -m pep_tf.prepare.criteo --raw=train.txt --out=DIR`."""

import sys
from collections.abc import Sequence

from pep_tf.prepare import clicklogs


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return clicklogs.run(clicklogs.new_command("criteo", __doc__), "criteo", arguments)


if __name__ == "__main__":
    sys.exit(main())
