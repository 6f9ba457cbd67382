r"""Ways to a small table on three small data sets of clicks, by bytes: an FM, d = 16, one seed.

They are samples, which show that the methods run on such data and in which order they come there; no figure of them is
one of the full data sets. `criteo` is the first 18,787 lines of Criteo's, `avazu` the first 24,073 rows of Avazu's:
most of their features occur a few times. `planted` is synthetic-criteo, 20,000 rows drawn from a known FM, N = 5,000.

Command (continues where it was killed; --methods and --sizes take parts of it):
    python -m experiments.methods_samples --criteo=<train.txt> --avazu=<train.csv> --out=runs/samples
In seconds, on planted rows alone, two methods: the same with --cut and without data.
Kept in OUT, for each data set: `results.json` and `frontier.png` (results/methods_samples/).

By --methods=prefix,pep,hash --sizes=10%bytes, one seed, 12 minutes on two loaded cores (`avazu` was not kept): test
AUC less that of the full table in float32, which has .6336 and .7437. Tickets are rounded in training to 4 bits, `hash`
is stored in int8.
               planted              criteo
    pep     +.0022   33,565 B    +.0024     827,839 B
    prefix  -.0037   33,977 B    -.0028     854,079 B
    hash    -.0051   33,973 B    +.0003   7,277,678 B

Tickets of `criteo` have no more numbers: rows that never occur are 0. Unlike on MovieLens-1M `pep` is ahead of
`prefix`, and of the full table, which so few rows let overfit.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from experiments.methods_study import Study, check_methods, share
from pep_tf.command_line import Command
from pep_tf.data import CTRData
from pep_tf.device import settle_arithmetic
from pep_tf.experiments.load_data import load_for_seed

CONFIG = {
    "model": "fm",
    "embedding_dim": 16,
    "batch_size": 512,
    "epochs": 10,
    "patience": 1,
    "export_dtype": "int8",
}
METHODS = ("prefix", "pep", "magnitude", "random", "hash", "qr")
SIZES = ("10%bytes", "3%bytes")
PLANTED: dict[str, Any] = {"rows": 20_000, "num_features": 5_000}
CUT: dict[str, Any] = {"rows": 2_000, "num_features": 600}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("experiments.methods_samples", __doc__)
    command.path("criteo", None, "a sample of Criteo's train.txt; left out without it")
    command.path("avazu", None, "a sample of Avazu's train.csv; left out without it")
    command.path("out", None, "folder of the study, which a later call goes on with", required=True)
    command.items("methods", METHODS, "some of them")
    command.items("sizes", SIZES, "some shares of the bytes, as 3%bytes")
    command.switch("cut", False, "planted rows alone, two methods, one size and an epoch each")
    return command.run(lambda _: _run(command), arguments)


def _run(command: Command) -> None:
    asked = command.values
    check_methods(asked.methods, CONFIG["model"])
    settle_arithmetic()
    folders = {"planted": None, "criteo": asked.criteo, "avazu": asked.avazu}
    for name, folder in folders.items():
        if name == "planted" or (folder is not None and not asked.cut):
            study = Study(
                asked.out / name,
                CONFIG | ({"epochs": 1} if asked.cut else {}),
                lambda seed, name=name, folder=folder: _load(name, folder, asked.cut, seed),
                METHODS[:2] if asked.cut else asked.methods,
                SIZES[:1] if asked.cut else sorted(asked.sizes, key=share, reverse=True),
                seeds=1,
                trials=1,
                dims=(),
            )
            print(name, json.dumps(study()["summary"], indent=1), flush=True)


def _load(name: str, folder: Any, cut: bool, seed: int) -> CTRData:
    if name == "planted":
        drawn = CUT if cut else PLANTED
        return load_for_seed("synthetic-criteo", data_dir=None, seed=seed, **drawn)
    return load_for_seed(name, data_dir=folder, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
