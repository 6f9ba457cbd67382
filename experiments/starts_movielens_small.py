r"""MovieLens, 100,004 ratings: from which weights a ticket is best retrained; an FM, d = 64, pruned by PEP.

Claim (PEP, section 5.3, after the lottery ticket hypothesis): retrained from the start of the pruned table, a ticket
learns faster, and at least as well, as from random weights. Here beside both: from the weights as they were cut.

Command (2.2 minutes of processor time; one seed):
    python -m experiments.starts_movielens_small --out=runs/starts
Kept in OUT: `results.json`: of each seed, budget and start the validation AUC by epoch, and the test AUC
(results/starts_movielens_small/).

Epochs to the validation AUC that all three starts of a ticket reach, and test AUC:
              original     trained     random
    20 %      12  .8328     8  .8332   21  .8334
     5 %      22  .8263    17  .8264   34  .8251
     1 %      49  .8233    30  .8244   60  .8229

The original start is faster than a random one, and the weights as they were cut are the fastest. In test AUC, of 7,994
rows and one seed, no start is better for sure. At 1 % two of them were still rising at the cap of 60 epochs.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import pep_tf
from pep_tf.command_line import Command
from pep_tf.data import CTRData
from pep_tf.device import settle_arithmetic
from pep_tf.experiments.config import make_config
from pep_tf.experiments.load_data import load_for_seed
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training import FitResult, Silent
from pep_tf.training.state import save_text
from pep_tf.training.ticket import INITS

CONFIG = {
    "dataset": "movielens-small",
    "model": "fm",
    "budgets": ("20%", "5%", "1%"),
    "prune_epochs": 15,
    "patience": 3,
}


def rows_of(data: CTRData, seed: int, folder: RunFolder) -> list[dict[str, Any]]:
    """A row for each ticket and start, of one pruning."""
    config = make_config(data.name, data.train.num_rows, CONFIG, {"seed": seed})
    run = Run(config, data, folder, Silent())
    tickets = pep_tf.prune(
        run.model("threshold"),
        data,
        budgets=config.budgets,
        settings=run.settings,
        folder=folder.path / f"prune_{seed}",
    )
    rows = []
    for ticket in tickets:
        results = {init: ticket.retrain(data, init=init, settings=run.settings) for init in INITS}
        same = min(max(by_epoch(result)) for result in results.values())
        for init, result in results.items():
            rows.append(
                {
                    "seed": seed,
                    "entries": ticket.nnz,
                    "start": init,
                    "validation_auc": by_epoch(result),
                    "best_epoch": result.best_epoch,
                    "same_auc": same,
                    "epochs_to_same_auc": epochs_to(same, by_epoch(result)),
                    "test_auc": result.test.auc,
                }
            )
    return rows


def by_epoch(result: FitResult) -> list[float]:
    """The validation AUC after each epoch."""
    return [x["validation_auc"] for x in result.history if "validation_auc" in x]


def epochs_to(auc: float, found: Sequence[float]) -> int:
    """The first epoch, from 1, that is as good."""
    return next(epoch for epoch, own in enumerate(found, 1) if own >= auc)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("experiments.starts_movielens_small", __doc__)
    command.path("out", None, "folder of the results", required=True)
    command.whole("seeds", 1, "how many, from 0 on", least=1)
    return command.run(lambda _: _run(command), arguments)


def _run(command: Command) -> None:
    settle_arithmetic()
    folder, rows = RunFolder(command.values.out), list[dict[str, Any]]()
    for seed in range(command.values.seeds):
        data = load_for_seed(CONFIG["dataset"], data_dir=None, seed=seed)
        rows += rows_of(data, seed, folder)
        save_text(folder.path / "results.json", json.dumps(rows, indent=1) + "\n")
    print(f"{'seed':>4} {'entries':>8} {'start':9} {'epochs to same':>14} {'best':>4} test AUC")
    for row in rows:
        print(
            f"{row['seed']:4} {row['entries']:8,} {row['start']:9} {row['epochs_to_same_auc']:14} "
            f"{row['best_epoch']:4} {row['test_auc']:.4f}"
        )


if __name__ == "__main__":
    sys.exit(main())
