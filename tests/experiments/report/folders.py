"""Run folders made by hand, so that a page can be drawn without training."""

import dataclasses
import json
import pathlib

import numpy as np

from pep_tf.data import FeatureSchema
from pep_tf.experiments.feature_counts import save_feature_counts
from pep_tf.experiments.results import Row
from pep_tf.training.state import save_state

FIELDS = {"user": 6, "item": 9, "hour": 4}
DIM = 8
ENTRIES = sum(FIELDS.values()) * DIM


def row(**changes) -> Row:
    """A baseline's row; everything else is a change of it."""
    plain = Row(
        stage="baseline",
        model="fm",
        granularity="feature_dim",
        init="original",
        budget=ENTRIES,
        nnz=ENTRIES,
        fraction=1.0,
        parameters=ENTRIES + 20,
        bytes=4 * (ENTRIES + 20),
        validation_auc=0.8,
        validation_logloss=0.4,
        test_auc=0.79,
        test_logloss=0.41,
        best_epoch=3,
        epochs=8,
        seconds=12.5,
        seed=0,
        dataset="tiny",
        split_md5={"train": "a" * 32, "validation": "b" * 32, "test": "c" * 32},
        versions={"pep_tf": "0.1.0"},
        embedding_dim=DIM,
        first_order=19,
        tower=1,
        export_bytes=9000,
    )
    return dataclasses.replace(plain, **changes)


def ticket_row(budget: int, auc: float, **changes) -> Row:
    """A ticket's row; its validation AUC is 0.01 above its test AUC."""
    ticket = {
        "stage": "ticket",
        "budget": budget,
        "nnz": budget,
        "fraction": budget / ENTRIES,
        "parameters": budget + 20,
        "bytes": 4 * (budget + 20) + 19,
        "test_auc": auc,
        "validation_auc": auc + 0.01,
        "export_bytes": 5000 + 4 * budget,
    }
    return row(**{**ticket, **changes})


def rows(seed: int = 0, shift: float = 0.0) -> list[Row]:
    """A baseline, a narrower one, three tickets."""
    uniform = {"stage": "uniform", "embedding_dim": 4, "budget": 76, "nnz": 76, "fraction": 0.5}
    return [
        row(seed=seed, test_auc=0.79 + shift),
        row(seed=seed, test_auc=0.782 + shift, export_bytes=7000, **uniform),
        ticket_row(76, 0.7901 + shift, seed=seed),
        ticket_row(30, 0.7895 + shift, seed=seed),
        ticket_row(8, 0.76 + shift, seed=seed),
    ]


def write_rows(folder: pathlib.Path, found: list[Row]) -> None:
    """`results.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([dataclasses.asdict(r) for r in found])
    (folder / "results.json").write_text(text)


def write_ticket(folder: pathlib.Path, mask: np.ndarray, fields: dict[str, int]) -> None:
    """The parts of a ticket's file that a page reads."""
    budget = int(mask.sum())
    config = {"input_dim": mask.shape[0], "output_dim": mask.shape[1]}
    facts = {
        "pep_tf_ticket": 2,
        "budget": budget,
        "tables": {"embedding": {"dim": mask.shape[1], "path": "embedding", "config": config}},
        "step": 40,
        "forced": False,
        "model_config": {"config": {"fields": fields}},
    }
    path = folder / "tickets" / f"ticket_{budget}.safetensors"
    save_state(path, {"mask/embedding": np.packbits(mask, axis=1)}, facts)


def write_run(folder: pathlib.Path, found: list[Row] | None = None) -> pathlib.Path:
    """A whole run folder, but for the exports."""
    found = rows() if found is None else found
    write_rows(folder, found)
    (folder / "config.json").write_text(json.dumps({"dataset": "tiny", "seed": 0, "l2": 1e-5}))
    environment = {"command": "python -m pep_tf.experiments.main", "versions": {"keras": "3.15.1"}}
    (folder / "environment.json").write_text(json.dumps(environment))
    prune = [
        {"step": 10 * i, "nnz": 150 - 14 * i, "loss": 0.6 - 0.01 * i, "threshold": i - 9.0}
        for i in range(1, 11)
    ]
    fits = [{"step": 20 * i, "loss": 0.5 / i, "validation_auc": 0.7 + 0.01 * i} for i in (1, 2, 3)]
    stages = {"prune": prune, "baseline": fits, "uniform_4": fits, "ticket_76": fits}
    (folder / "history.json").write_text(json.dumps(stages))
    counts = np.arange(sum(FIELDS.values()), dtype=np.int64)
    save_feature_counts(folder / "feature_counts.safetensors", FeatureSchema.of(FIELDS), counts)
    rng = np.random.default_rng(0)
    for budget in (76, 30, 8):
        mask = np.zeros(ENTRIES, bool)
        mask[rng.choice(6 * DIM if budget == 8 else ENTRIES, budget, replace=False)] = True
        write_ticket(folder, mask.reshape(-1, DIM), FIELDS)
    (folder / "tickets" / "done.json").write_text(json.dumps({"seconds": 33.0}))
    return folder
