"""Prepares Avazu (Kaggle, 2014): `python -m pep_tf.prepare.avazu --raw=train.csv --out=DIR`."""

import sys
from collections.abc import Sequence

from pep_tf.data.clicklogs.formats import HOURS
from pep_tf.prepare import clicklogs


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = clicklogs.new_command("avazu", __doc__)
    command.heading("Features")
    command.choice(
        "hour", HOURS[0], HOURS, "`hour` as it is, or hour of day and weekday made of it"
    )
    return clicklogs.run(command, "avazu", arguments, hour=True)


if __name__ == "__main__":
    sys.exit(main())
