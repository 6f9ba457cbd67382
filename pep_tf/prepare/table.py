"""Prepares a table of your own: `python -m pep_tf.prepare.table --dataset=my_clicks.py --out=DIR`.

The rows are read batch by batch, so that they may be more than fit in memory. Then train on them by
`python -m pep_tf.experiments.main --dataset=DIR`.
"""

import sys
from collections.abc import Sequence

from absl import logging

from pep_tf.command_line import Command
from pep_tf.data import load
from pep_tf.data.columns import is_own
from pep_tf.data.columns.declared import OPTIONS
from pep_tf.data.store.manifest import read_manifest
from pep_tf.data.store.place import find_store
from pep_tf.data.store.report import report
from pep_tf.errors import DataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("pep_tf.prepare.table", __doc__, least_level=logging.ERROR)
    command.heading("Files")
    dataset = command.text(
        "dataset",
        None,
        "a table (.csv, .tsv, .gz, .parquet), a pattern such as 'clicks-*.csv', or a Python file that "
        "declares one",
        value="PATH",
        shown="required",
    )
    out = command.path("out", None, "folder for the prepared data", required=True)
    overwrite = command.switch("overwrite", False, "replace the store that is there")
    command.heading("A table beside these, as for pep_tf.experiments.main")
    command.text("label", None, "a column of 0 and 1, or a column and a threshold: 'rating > 3'")
    features = command.text("features", None, "user=vocabulary,item=hash:100000,...")
    command.text("split", None, "random, hash, hash:COLUMN, time:COLUMN or column:COLUMN")
    command.text("weight", None, "a column of how much each row counts, 0 or more")
    command.text("drop", None, "rows to leave out, by a value: rating=3")
    seed = command.whole("seed", 0, "of a split that is drawn", least=0)

    def prepare(_: list[str]) -> None:
        if not dataset.value or not is_own(dataset.value):
            raise DataError(f"`dataset` must be a table or a .py. Received: {dataset.value!r}")
        given = {name: value for name, value in command.given().items() if name in OPTIONS}
        given |= {} if features.value is None else {"features": features.value}
        place = {"store": out.value, "overwrite": overwrite.value}
        load(dataset.value, seed=seed.value, **place, **given)
        folder = find_store(out.value)
        print(report({"folder": str(folder), **read_manifest(folder)}))

    return command.run(prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
