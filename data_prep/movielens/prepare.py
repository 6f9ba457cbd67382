"""Prepares MovieLens-1M: `python -m data_prep.movielens.prepare --raw=ml-1m --out=DIR`."""

import sys

from absl import app, flags, logging

from pep_tf.data.clicklogs.array_store import write_store
from pep_tf.data.load import load
from pep_tf.errors import PepError

_RAW = flags.DEFINE_string(
    "raw", None, "Folder with ratings.dat, users.dat, movies.dat.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder for the prepared data.", required=True)
_FEATURES = flags.DEFINE_enum("features", "paper", ["paper", "with_ids"], "Which fields.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the store that is there.")
_VERIFY = flags.DEFINE_bool(
    "verify", False, "Hash a store that is there again, even if size, times and inode are the same."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the 80/10/10 split.")


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    try:
        data = load("movielens-1m", data_dir=_RAW.value, features=_FEATURES.value, seed=_SEED.value)
        manifest = write_store(data, _OUT.value, overwrite=_OVERWRITE.value, verify=_VERIFY.value)
    except PepError as error:
        sys.exit(f"error: {error}")
    print(f"store      {manifest['folder']}")
    for name, split in manifest["splits"].items():
        print(f"{name:<10} {split['rows']} rows, md5 of rows {split['rows_md5']}")
    for field in manifest["schema"]:
        print(f"  {field['name']:<16} {field['size']:>9}")
    for name, facts in manifest["files"].items():
        print(f"{facts['md5']}  {facts['bytes']:>12}  {name}")


if __name__ == "__main__":
    app.run(main)
