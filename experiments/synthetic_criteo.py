"""A click log of Criteo's shape with 2 million features, from raw text to tickets within one pass.

Claim: within one pass over 20 million rows, pruning drops what is not planted before what is. Rows without a
planted vector lose their entries before rows of the same frequency with one, and of the dimensions that the
rows need (71,982 of 47.9 million entries, see `pep_tf.data.synthetic.truth.Truth`) nearly all outlive 98 % of
the table. Synthetic rows, no real ones.

A factorization machine, because what is planted is one: the embedding alone has to carry it, whereas an MLP
beside it also reads first-order effects from the embeddings, which would then be useful to rows where none is
planted. A table of this size is updated rowwise by default. s0 = -25 and 0.0025 per step for the thresholds make
one pass of 15,625 steps suffice: a row that has not come yet decays by L2 alone and falls under a threshold of
-25 at step 300, when a feature of 1 in 100,000 rows has been seen three times in the mean; the thresholds reach
the size of the weights between steps 8,000 and 10,000.

Expected, measured on 2 cores that other jobs shared (results/synthetic_criteo/planted.json; order.png,
bands.png): best possible test AUC .8011 (.7044 without interactions), uniform table after one epoch .7791, and
the tickets as they were cut:

    budget   step  planted  others  others, >= 1e-5  order by band of frequency  test AUC
                     kept    kept             kept  1e-5  1e-4  1e-3  1e-2
    10.00%   8100    99.6%   9.87%            68.0%   .52  .71  .91  .94         .7785
     5.00%   8700    99.6%   4.86%            41.1%   .55  .77  .95  .96         .7804
     3.00%   8950    99.4%   2.85%            29.2%   .56  .79  .97  .97         .7812
     2.00%   9150    98.6%   1.85%            21.3%   .57  .81  .97  .97         .7813
     1.00%   9350    93.1%   0.86%            11.8%   .57  .83  .98  .98         .7804
     0.50%   9550    80.1%   0.38%             5.8%   .58  .85  .98  .98         .7776
     0.30%   9650    67.3%   0.20%             3.2%   .57  .87  .99  .98         .7750
     0.20%   9700    56.6%   0.12%             1.9%   .57  .87  .99  .98         .7734
     0.10%   9800    39.9%   0.04%             0.7%   .55  .86  .99  .98         .7692
     0.05%   9950    26.1%   0.01%             0.2%   .52  .82  .99  .98         .7611

"planted kept": the share of the planted dimensions that the rows have room for; "others": of all other entries.
"order" is the chance that a row with a planted vector has kept more entries than one of the same band of
frequency without. Below 1 row in 10,000 one pass hardly suffices to tell them apart. Nothing is retrained
(`--retrain` of the report would).

Memory (memory.json, the run's log in log.jsonl, its checks in history.json): 2.6 GB throughout training of the
uniform table; 4.4 GB while pruning and 0.02 to 0.06 GB more for each ticket that is held, 6.0 GB at the peak,
while a checkpoint is written.

Commands (20 million rows as text in 3 minutes, prepared in 1, the run in 21 minutes for the uniform table, 29
for pruning and 2 to 5 for each ticket to be evaluated, all of it on a machine with other work to do):
    python -c "from pep_tf.data.synthetic import write_raw_text; write_raw_text('train.txt', 'criteo', rows=20_000_000)"
    python -m data_prep.criteo.prepare --raw=train.txt --out=store \\
        --buckets=C3=262144,C4=262144,C12=262144,C16=262144,C21=262144,C7=65536,C15=65536
    python -m benchmarks.memory --every=10 --output=memory.json -- python -m pep_tf.experiments.main \\
        --config=experiments/synthetic_criteo.py --data_dir=store --run_dir=run --log_format=json
    python -m experiments.synthetic_criteo --run_dir=run --data_dir=store
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf import Ticket
from pep_tf import data as datasets
from pep_tf.command_line import Command
from pep_tf.data.synthetic.store import Planted, planted
from pep_tf.errors import RunError
from pep_tf.experiments.report import drawing
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training import resolve_budgets

CONFIG = {
    "dataset": "synthetic-criteo",
    "model": "fm",
    "embedding_dim": 24,
    "threshold_init": -25.0,
    "threshold_learning_rate": 2.5e-3,
    "prune_epochs": 1,
    "epochs": 1,
    "no_retrain": True,
    "budgets": ("10%", "5%", "3%", "2%", "1%", "0.5%", "0.3%", "0.2%", "0.1%", "0.05%"),
    "checkpoint_every": 3000,
}

BANDS = (1e-5, 1e-4, 1e-3, 1e-2, 1.01)  # of P(a row has the feature); nothing is planted below


def shares(row_dims: np.ndarray, truth: Planted, dim: int) -> dict[str, Any]:
    """What a ticket has kept of what is planted and of the rest.

    Args:
        row_dims: integers [N], entries kept in each row.
        truth: of the rows.
        dim: d.

    Returns:
        `planted`: of the numbers that the rows need, the share that they have room for; `not_planted`:
        the share kept of all other entries; `not_planted_frequent`: of those in rows of a frequency of
        at least 1e-5. `bands`: for each band of frequency and for rows with (`useful`) and without
        (`useless`) a planted vector: rows, share of them with an entry left, share of entries kept;
        and `order`, the chance that a useful row has kept more than a useless one (ties count half).
    """
    room = np.minimum(row_dims, truth.useful_dims)
    beyond, frequent = row_dims - room, truth.frequency >= BANDS[0]
    others, useful = dim - truth.useful_dims, truth.useful_dims > 0
    bands = []
    for low, high in zip(BANDS, BANDS[1:], strict=False):
        inside = (truth.frequency >= low) & (truth.frequency < high)
        kept = {"useful": row_dims[inside & useful], "useless": row_dims[inside & ~useful]}
        bands.append(
            {
                "frequency": [low, min(high, 1.0)],
                **{name: _kept(rows, dim) for name, rows in kept.items()},
                "order": _chance_of_more(kept["useful"], kept["useless"], dim),
            }
        )
    return {
        "planted": float(room.sum() / truth.useful_dims.sum()),
        "not_planted": float(beyond.sum() / others.sum()),
        "not_planted_frequent": float(beyond[frequent].sum() / others[frequent].sum()),
        "bands": bands,
    }


def _kept(row_dims: np.ndarray, dim: int) -> dict[str, float]:
    return {
        "rows": len(row_dims),
        "rows_kept": float((row_dims > 0).mean()),
        "entries_kept": float(row_dims.mean() / dim),
    }


def _chance_of_more(useful: np.ndarray, useless: np.ndarray, dim: int) -> float:
    """P(a useful row has more entries than a useless one), ties counting half."""
    more, fewer = (np.bincount(rows, minlength=dim + 1) for rows in (useful, useless))
    below = np.cumsum(fewer) - fewer / 2
    return float(more @ below / (more.sum() * fewer.sum()))


def report(
    run_dir: pathlib.Path, data_dir: pathlib.Path, output: pathlib.Path, retrain: list[str]
) -> dict[str, Any]:
    """Judges a run's tickets by what is planted; writes `planted.json` and figures.

    Tickets of the budgets in `retrain` are retrained for one epoch first. A ticket that the run has not
    come to evaluate has no AUC.
    """
    data, folder = datasets.load("synthetic-criteo", data_dir=data_dir), RunFolder(run_dir)
    if not folder.has_row("baseline"):
        raise RunError(f"{run_dir} must hold a run with a baseline.")
    truth, baseline = planted(data), folder.row("baseline")
    again = resolve_budgets(retrain, baseline.budget) if retrain else []
    tickets = []
    for path in folder.tickets.glob("ticket_*.safetensors"):
        ticket = Ticket.load(path)
        embedding = ticket.tables["embedding"]
        row_dims = np.bitwise_count(embedding.bits).sum(axis=1, dtype=np.int64)
        facts = {"budget": ticket.budget, "step": ticket.step, "forced": ticket.forced}
        if folder.has_row(stage := f"ticket_{ticket.budget}"):
            row = folder.row(stage)
            facts |= {"validation_auc": row.validation_auc, "test_auc": row.test_auc}
        if ticket.budget in again:
            kept = run_dir / f"retrained_{ticket.budget}.safetensors"
            result = ticket.retrain(data, epochs=1, checkpoint=kept)
            facts["retrained_validation_auc"] = result.validation.auc
            facts["retrained_test_auc"] = result.test.auc
        tickets.append(facts | shares(row_dims, truth, embedding.dim))
    tickets.sort(key=lambda facts: -facts["budget"])
    names = ("best_auc", "best_logloss", "first_order_auc")
    found = {
        "data": data.name,
        "train_rows": data.train.num_rows,
        "num_features": data.schema.num_features,
        "entries": baseline.budget,
        "planted_features": int((truth.useful_dims > 0).sum()),
        "planted_entries": int(truth.useful_dims.sum()),
        "features_at_least_1e-5": int((truth.frequency >= BANDS[0]).sum()),
        **{name: data.details[name] for name in names},
        "uniform": {"validation_auc": baseline.validation_auc, "test_auc": baseline.test_auc},
        "tickets": tickets,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "planted.json").write_text(json.dumps(found, indent=1) + "\n")
    draw_order(found, output)
    draw_bands(found, output)
    return found


def draw_order(found: dict[str, Any], folder: pathlib.Path) -> None:
    """Kept shares of planted and other entries over the budgets."""
    lines = {
        "planted": "planted dimensions",
        "not_planted_frequent": "not planted, in rows of a frequency of at least 1e-5",
        "not_planted": "not planted, in all rows",
    }
    with drawing.Sheet(folder, []).picture("order", "", 3.6) as (picture, axes):
        for index, (name, label) in enumerate(lines.items()):
            _line(axes, found, [ticket[name] for ticket in found["tickets"]], index, label)
        _budgets_below(axes)
        axes.set_ylabel("share kept")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
        picture.alt = "Shares kept over the budgets."


def draw_bands(found: dict[str, Any], folder: pathlib.Path) -> None:
    """Entries kept of useful and of useless rows over the budgets, a band of frequency each."""
    with drawing.Sheet(folder, []).picture("bands", "", 8, rows=len(BANDS) - 1) as (picture, axes):
        for index, axis in enumerate(axes[:, 0]):
            bands = [ticket["bands"][index] for ticket in found["tickets"]]
            for kind, name in enumerate(("useful", "useless")):
                label = f"{name}: {bands[0][name]['rows']:,} rows"
                _line(axis, found, [band[name]["entries_kept"] for band in bands], kind, label)
            low, high = bands[0]["frequency"]
            axis.set_title(f"frequency {low:g} to {high:g}", fontsize=9.5)
            axis.set_ylabel("share kept")
            axis.legend()
            _budgets_below(axis)
        picture.alt = "Shares kept over the budgets, by frequency."


def _line(axis: Any, found: dict[str, Any], shares: list[float], index: int, label: str) -> None:
    budgets = [100 * ticket["budget"] / found["entries"] for ticket in found["tickets"]]
    colour, marker = drawing.series_colour(index), drawing.MARKERS[index]
    axis.plot(budgets, shares, label=label, color=colour, marker=marker)


def _budgets_below(axis: Any) -> None:
    axis.set_xscale("log")
    drawing.log_axis(axis.xaxis)
    axis.invert_xaxis()
    axis.set_ylim(0, 1.05)
    axis.set_xlabel("budget, % of the table; pruning goes to the right")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("experiments.synthetic_criteo", "Judges the tickets of the study's run.")
    run_dir = command.path("run_dir", None, "folder of the run", required=True)
    data_dir = command.path("data_dir", None, "as it was given to the run", required=True)
    output = command.path(
        "output", "experiments/results/synthetic_criteo", "folder for what is found"
    )
    retrain = command.items(
        "retrain", (), "budgets to retrain for an epoch, such as 1%", counts=True
    )

    def judge(_: list[str]) -> None:
        found = report(run_dir.value, data_dir.value, output.value, retrain.value)
        print(
            json.dumps({key: value for key, value in found.items() if key != "tickets"}, indent=1)
        )

    return command.run(judge, arguments)


if __name__ == "__main__":
    sys.exit(main())
