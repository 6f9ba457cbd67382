"""What follows the trials: the tickets of the Pareto front retrained, the best as a study file."""

import dataclasses
import json
import pathlib
from typing import Any

from pep_tf.data import CTRData
from pep_tf.experiments.config import Config, make_config
from pep_tf.experiments.report.commands import quoted
from pep_tf.experiments.search_record import STUDY, Search
from pep_tf.training import Reporter, Ticket
from pep_tf.training.state import reading_object, save_object, save_text
from pep_tf.tuning.space import run_of


def retrain_front(
    search: Search,
    configs: dict[str, Config],
    data: CTRData,
    run_dir: pathlib.Path,
    reporter: Reporter,
) -> None:
    """Retrains each ticket of the front from its initial weights, and notes the AUC in `search`.

    What was retrained before a kill is not done again.

    Args:
        search: its front is completed, one ticket after the other; `search.json` follows.
        configs: of the trials on the front, by id.
        data: the test split is read once for each ticket.
        run_dir: folder of the search.
        reporter: receives the progress.
    """
    for point in search.pareto:
        found = retrain(point.trial, point.nnz, configs[point.trial], data, run_dir, reporter)
        for name, value in found.items():
            setattr(point, name, value)
        search.save(run_dir)


def retrain(
    trial: str, nnz: int, config: Config, data: CTRData, run_dir: pathlib.Path, reporter: Reporter
) -> dict[str, float]:
    """Retrains one ticket of a search, unless `retrained/` in the search's folder has its result.

    Args:
        trial, nnz: which ticket: id of the trial, entries kept.
        config: of the trial.
        data, run_dir, reporter: see `retrain_front`.

    Returns:
        `validation_auc` and `test_auc`.
    """
    done = _file(run_dir, trial, nnz)
    if done.exists():
        with reading_object(done, "delete it, and its ticket is retrained again") as kept:
            return {name: float(kept[name]) for name in ("validation_auc", "test_auc")}
    ticket = Ticket.load(run_dir / f"trial_{trial}" / f"ticket_{nnz}.safetensors")
    result = ticket.retrain(
        data,
        settings=config.retraining(run_of(config, data).settings),
        init=config.ticket_init,
        checkpoint=done.with_suffix(".safetensors"),
        reporter=reporter,
    )
    found = note_retrained(run_dir, trial, nnz, result.validation.auc, result.test.auc)
    done.with_suffix(".safetensors").unlink(missing_ok=True)
    return found


def note_retrained(
    run_dir: pathlib.Path, trial: str, nnz: int, validation_auc: float, test_auc: float
) -> dict[str, float]:
    """Keeps what a ticket came to, so that `retrain` does not train it again; returns it."""
    found = {"validation_auc": validation_auc, "test_auc": test_auc}
    save_object(_file(run_dir, trial, nnz), found)
    return found


def _file(run_dir: pathlib.Path, trial: str, nnz: int) -> pathlib.Path:
    return run_dir / "retrained" / f"{trial}_{nnz}.json"


def write_study(search: Search, config: Config, data: CTRData, run_dir: pathlib.Path) -> str:
    """Writes a trial's configuration as a study file for the main command.

    Args:
        search: for its facts.
        config: of the trial, with its budgets as counts.
        data: for the defaults, which are left out.
        run_dir: folder of the search; the file is `best.py` in it.

    Returns:
        The text of the file.
    """
    path = run_dir / STUDY
    default = make_config(data.name, data.train.num_rows)
    changes: dict[str, Any] = {"dataset": data.details.get("declaration", data.name)}
    for field in dataclasses.fields(Config):
        if (value := getattr(config, field.name)) != getattr(default, field.name):
            changes[field.name] = value
    assert search.best is not None
    trial = search.trial(search.best)
    lines = "".join(f"    {json.dumps(name)}: {value!r},\n" for name, value in changes.items())
    text = (  # comments: whatever is in the name of a folder is not executed
        f"# The best of {len(search.trials)} trials ({search.algorithm} search, trial {trial.id}):\n"
        f"# {search.objective} {trial.score:.4f} on validation.\n"
        f"# python -m pep_tf.experiments.main --config={quoted(path)}\n\n"
        f"CONFIG = {{\n{lines}}}\n"
    )
    save_text(path, text)
    return text
