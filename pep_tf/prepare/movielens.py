"""Prepares MovieLens-1M: `python -m pep_tf.prepare.movielens --raw=ml-1m --out=DIR`."""

import sys
from collections.abc import Sequence

from absl import logging

from pep_tf.command_line import Command
from pep_tf.data.datasets import load
from pep_tf.data.movielens import FEATURES
from pep_tf.data.store.arrays import write_store
from pep_tf.data.store.report import report


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("pep_tf.prepare.movielens", __doc__, least_level=logging.ERROR)
    raw = command.path(
        "raw", None, "folder with ratings.dat, users.dat, movies.dat", required=True, exists=True
    )
    out = command.path("out", None, "folder for the prepared data", required=True)
    features = command.choice("features", "paper", FEATURES, "which fields")
    overwrite = command.switch("overwrite", False, "replace the store that is there")
    verify = command.switch(
        "verify",
        False,
        "hash a store that is there again, even if size, times and inode are the same",
    )
    seed = command.whole("seed", 0, "of the 80/10/10 split", least=0)

    def prepare(_: list[str]) -> None:
        data = load("movielens-1m", data_dir=raw.value, features=features.value, seed=seed.value)
        manifest = write_store(data, out.value, overwrite=overwrite.value, verify=verify.value)
        print(report(manifest))

    return command.run(prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
