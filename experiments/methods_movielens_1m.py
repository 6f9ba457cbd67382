r"""Which way to a small table is best on MovieLens-1M, by bytes and by entries: an FM, 7 fields, d = 64.

Question: at the same bytes, which method loses least test AUC against the full table in float32, and how much?

One protocol for all: split, seeds, optimizer and patience are the same, training ends by patience, and every method has
as many trials of its own settings and of the bits of a number (`TRIALS`), at two sizes, on seed 0, by validation AUC;
other sizes go by the nearest of these. AUC is that of the numbers as they are stored. Bytes are those of table and
first-order weights, with scales and masks.

Result so far, in 4 bits, not searched, at 3 and 1 % of the bytes, against the full table, three seeds: `prefix` has
-.0012 ± .0008 and -.0073 ± .0004, `pep` (two seeds) -.0036 and -.0138, `magnitude` -.0062 and -.0191; on seed 0 the
others have less, but for `mde` at 3 % (-.0035). Width 16 has -.0043 at 3.3 %.
More is in results/methods_movielens_1m/ and docs/methods.md.

Command (about 150 trained tables; continues where it was killed; --methods, --sizes and --seeds take parts of it):
    python -m experiments.methods_movielens_1m --data_dir=<ml-1m folder> --out=runs/methods
With user and movie ids, or another model, each in a folder of its own: the same with --features=with_ids, or
--model=deepfm, or --model=autoint --dataset=movielens-small.
In a minute, on the small set, to see that it works: the same with --cut.
Kept in OUT: `results.json` (rows, search, sizes that a method cannot have) and `frontier.png`, after each run.
"""

import json
import sys
from collections.abc import Sequence

from experiments.methods_study import METHODS, TRIALS, Study, check_methods, share
from pep_tf.command_line import Command
from pep_tf.device import settle_arithmetic
from pep_tf.errors import PepError
from pep_tf.experiments.load_data import load_for_seed

CONFIG = {"dataset": "movielens-1m", "model": "fm", "epochs": 300, "export_dtype": "int8"}
CUT = {**CONFIG, "dataset": "movielens-small", "epochs": 1, "embedding_dim": 12}
SIZES = ("10%bytes", "5%bytes", "3%bytes", "2%bytes", "1%bytes")
CUT_SIZES = ("20%bytes", "10%bytes")
DIMS, CUT_DIMS = (2, 4, 8, 16, 32), (8,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("experiments.methods_movielens_1m", __doc__)
    command.path("data_dir", None, "folder of MovieLens-1M")
    command.path("out", None, "folder of the study, which a later call goes on with", required=True)
    names = ", ".join(METHODS)
    command.items("methods", tuple(METHODS), f"some of {names}; prefix is for fm")
    command.items("sizes", SIZES, "some shares of the bytes, as 3%bytes")
    command.whole("seeds", 3, "how many, from 0 on", least=1)
    command.whole("trials", len(TRIALS), "of settings, a method", least=1, most=len(TRIALS))
    command.choice("model", "fm", ("fm", "deepfm", "autoint"), "the model")
    command.choice("dataset", "movielens-1m", ("movielens-1m", "movielens-small"), "the data set")
    command.choice(
        "features", "paper", ("paper", "with_ids"), "7 fields, or user and movie as well"
    )
    command.switch("cut", False, "the small data set, two sizes and an epoch each")
    return command.run(lambda _: _run(command), arguments)


def _run(command: Command) -> None:
    asked, given = command.values, command.given()
    methods = asked.methods
    if "methods" not in given and asked.model != "fm":
        methods = [name for name in methods if name != "prefix"]
    check_methods(methods, asked.model)
    if unknown := sorted(set(asked.sizes) - set(SIZES)):
        raise PepError(
            f"`sizes` must be some of {', '.join(SIZES)}. Received: {', '.join(unknown)}"
        )
    settle_arithmetic()
    chosen = {name: given[name] for name in ("model", "dataset", "features") if name in given}
    config = (CUT if asked.cut else CONFIG) | chosen
    study = Study(
        asked.out,
        config,
        lambda seed: load_for_seed(
            config["dataset"], data_dir=asked.data_dir, features=asked.features, seed=seed
        ),
        methods,
        CUT_SIZES if asked.cut else sorted(asked.sizes, key=share, reverse=True),
        asked.seeds,
        asked.trials,
        CUT_DIMS if asked.cut else DIMS,
    )
    print(json.dumps(study()["summary"], indent=1))


if __name__ == "__main__":
    sys.exit(main())
