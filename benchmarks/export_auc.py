"""What smaller numbers cost a served ticket: its test AUC in each export dtype; prints one JSON object.

    python -m benchmarks.export_auc --run_dir=runs/movielens-1m-fm-1 --data_dir=<ml-1m folder>

Takes the tickets of a run, retrains each one as the run did (the same seed gives the same weights on
the same machine), exports it, and evaluates what was written, through the signature `ids`, on the test
split. Nothing is selected by these figures. The bars at the 10 % ticket of MovieLens-1M: float16 within
0.0001 of float32, int8 within 0.0005.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pep_tf
from benchmarks.serving_session import open_session
from pep_tf.command_line import Command
from pep_tf.data import CTRData
from pep_tf.errors import RunError
from pep_tf.experiments.config import make_config
from pep_tf.experiments.load_data import load_for_seed
from pep_tf.experiments.report.reading import read_json
from pep_tf.export.check import litert_answer
from pep_tf.export.litert import MODEL
from pep_tf.tables.packed.values import ROUNDED_LATER
from pep_tf.training.metrics import metrics_of

_ROWS = 8192


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    command = Command("benchmarks.export_auc", __doc__)
    run_dir = command.path("run_dir", None, "folder of a finished run", required=True)
    data_dir = command.path("data_dir", None, "as for the run")
    epochs = command.whole("epochs", None, "of retraining", shown="the run's", least=1)
    return command.run(lambda _: _run(run_dir.value, data_dir.value, epochs.value), arguments)


def _run(run_dir: Path, data_dir: Path | None, epochs: int | None) -> None:
    """Retrains, exports, evaluates, prints."""
    stored = read_json(run_dir / "config.json")
    tickets = sorted((run_dir / "tickets").glob("*.safetensors"))
    if not isinstance(stored, dict) or stored.pop("data", None) is None or not tickets:
        raise RunError(
            f"--run_dir={run_dir} must be a finished run of the main job, with tickets; of a run over "
            "several seeds name the folder of one: seeds/<seed>."
        )
    data = load_for_seed(
        stored["dataset"], data_dir=data_dir, features=stored["features"], seed=stored["seed"]
    )
    config = make_config(data.name, data.train.num_rows, stored)
    changes = {} if epochs is None else {"epochs": epochs}
    report: dict[str, Any] = {"dataset": data.name, "test_rows": data.test.num_rows}
    for path in tickets:
        ticket = pep_tf.Ticket.load(path)
        ticket.retrain(data, init=config.ticket_init, settings=config.settings(), **changes)
        report[path.stem] = measure(ticket, data)
    print(json.dumps(report, indent=1))


def measure(ticket: pep_tf.Ticket, data: CTRData) -> dict[str, Any]:
    """Test AUC, bytes and difference to float32 of each format and dtype of a retrained ticket."""
    batches = [(ids.numpy(), labels.numpy()) for ids, labels in data.test.batches(_ROWS)]
    labels = np.concatenate([part for _, part in batches])
    found: dict[str, Any] = {"nnz": ticket.nnz, "budget": ticket.budget}
    with tempfile.TemporaryDirectory() as folder:
        for format in ("savedmodel", "litert"):
            for dtype in ROUNDED_LATER:
                version = ticket.export(Path(folder, format, dtype), dtype=dtype, format=format)
                answers = np.concatenate([_answer(version, ids) for ids, _ in batches])
                auc = metrics_of(labels, np.log(answers) - np.log1p(-answers)).auc
                found[f"{format}_{dtype}"] = {
                    "test_auc": auc,
                    "bytes": sum(f.stat().st_size for f in version.rglob("*") if f.is_file()),
                }
    exact = found["savedmodel_float32"]["test_auc"]
    for facts in found.values():
        if isinstance(facts, dict):
            facts["auc_minus_float32"] = facts["test_auc"] - exact
    return found


def _answer(version: Path, ids: np.ndarray) -> np.ndarray:
    """Probabilities in float64, whose logarithms keep every order that float32 has."""
    model = version / MODEL
    if model.exists():
        answer = litert_answer(model.read_bytes(), {"ids": ids})
    else:
        answer = open_session(version)({"ids": ids})
    return answer.astype(np.float64)


if __name__ == "__main__":
    sys.exit(main())
