"""What a run folder holds, read with care: what is missing or damaged is noted, not fatal."""

import dataclasses
import json
import math
import pathlib
from typing import Any

from pep_tf.errors import PepError, RunError
from pep_tf.experiments.report.sizes import Sizes, read_sizes
from pep_tf.experiments.results import Row
from pep_tf.experiments.text import clean
from pep_tf.numbers import is_number
from pep_tf.training.state import without_checksum

History = dict[str, list[dict[str, float]]]


@dataclasses.dataclass
class Record:
    """A run as the page needs it.

    Attributes:
        path: the run's folder.
        rows: one for each trained table, of all seeds.
        config: `config.json`; empty where there is none.
        environment: `environment.json`; empty where there is none.
        histories: what the stages recorded, one per seed.
        sizes: learned sizes, one per seed.
        prune_seconds: time of the pruning, one per seed.
        notes: what is missing, and what that means for the page.
        inputs: what the page is drawn from: names of results, paths of files in the folder.
    """

    path: pathlib.Path
    rows: list[Row]
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    histories: list[History] = dataclasses.field(default_factory=list)
    sizes: list[Sizes] = dataclasses.field(default_factory=list)
    prune_seconds: list[float] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    inputs: list[str] = dataclasses.field(default_factory=list)

    @property
    def seeds(self) -> list[int]:
        """The seeds that have rows."""
        return sorted({row.seed for row in self.rows})

    @property
    def name(self) -> str:
        """The folder's name."""
        return clean(self.path.resolve().name)

    def read_origin(self) -> None:
        """Reads where it comes from."""
        self.config = read_object(self.path / "config.json", self.notes)
        self.environment = read_object(self.path / "environment.json", self.notes)

    def note_inputs(self, other: str, found: object, *more: str) -> None:
        """Adds to the inputs: the files on its origin and `other` if they are there, and `more`."""
        whole = {"config.json": self.config, "environment.json": self.environment, other: found}
        self.inputs += [*(name for name, there in whole.items() if there), *more]


def read_run(path: pathlib.Path) -> Record:
    """Reads a run folder.

    Raises:
        RunError: a folder without any trace of a run, or without a single finished row; results that
            are damaged.
    """
    if not path.is_dir():
        raise RunError(f"{path} is not a folder. Give the folder of a run.")
    record = Record(path, [])
    record.read_origin()
    parts = sorted((p for p in (path / "seeds").glob("*") if p.is_dir()), key=lambda p: p.name)
    record.rows = _rows(path, parts, record)
    notes = {part.name: _read_part(part, record) for part in parts or [path]}
    for note in dict.fromkeys(note for own in notes.values() for note in own):
        lacking = [name for name, own in notes.items() if note in own]
        of = "" if len(lacking) == len(notes) else f"Seed {clean(', '.join(lacking))}: "
        record.notes.append(of + note)
    record.notes = list(dict.fromkeys(record.notes))
    rows = (f"results of {r.stage} {r.budget} ({r.init}, seed {r.seed})" for r in record.rows)
    record.note_inputs("export", exports_of(path), *rows)
    return record


def exports_of(path: pathlib.Path) -> list[pathlib.Path]:
    """The exported models of a run, in order: folders of version 1."""
    return sorted(
        folder
        for pattern in ("export/*/1", "seeds/*/export/*/1")
        for folder in path.glob(pattern)
        if (folder / "saved_model.pb").exists()
    )


def _read_part(part: pathlib.Path, record: Record) -> list[str]:
    """Reads the files that each seed has; returns notes on those that are missing."""
    notes: list[str] = []
    used: list[str] = []
    if history := _history(part / "history.json", notes):
        record.histories.append(history)
        used.append("history.json")
    small = any(row.stage == "small" for row in record.rows)  # of a method without tickets
    try:
        sizes = None if small else read_sizes(part, notes)
    except PepError as error:
        notes.append(f"Learned sizes are not shown: {error}")
        sizes = None
    if sizes:
        record.sizes.append(sizes)
        used += [f"tickets/ticket_{ticket.budget}.safetensors" for ticket in sizes.tickets]
        used += ["feature_counts.safetensors"] * (sizes.bins is not None)
        notes += _passed_by_far(sizes, history.get("prune", []))
    done = read_object(part / "tickets" / "done.json", [])
    if is_number(seconds := done.get("seconds")):
        record.prune_seconds.append(float(seconds))
        used.append("tickets/done.json")
    record.inputs += [str(part.relative_to(record.path) / name) for name in used]
    return notes


def _passed_by_far(sizes: Sizes, checks: list[dict[str, float]]) -> list[str]:
    """Notes on tickets cut when the thresholds had left at most a tenth of their entries."""
    left = {check["step"]: check["nnz"] for check in checks if "nnz" in check}
    return [
        f"The ticket of {ticket.budget:,} entries was cut where the thresholds had left "
        f"{left[ticket.step]:,.0f}: what it keeps beyond them was 0 until it was retrained. "
        "To cut nearer the budget, lower --check_every or --threshold_learning_rate."
        for ticket in sizes.tickets
        if not ticket.forced and left.get(ticket.step, math.inf) <= ticket.budget // 10
    ]


def _rows(path: pathlib.Path, parts: list[pathlib.Path], record: Record) -> list[Row]:
    results = path / "results.json"
    if results.exists():
        found = read_json(results)
        if not isinstance(found, list):
            raise RunError(
                f"{results} is damaged or of another version: it must be a list of rows."
            )
    else:
        stages = [s for p in parts or [path] for s in sorted((p / "stages").glob("*.json"))]
        found = [read_json(stage) for stage in stages]
        if not found:
            raise RunError(
                f"{path} holds no results yet: neither results.json nor a finished stage. "
                "Give the folder of a run, or continue the run with --resume."
            )
        record.notes.append(
            f"The run has not finished: {len(found)} of its tables are done. It is still at work, "
            "or was stopped; the same command with --resume continues it."
        )
        results = stages[0].parent
    if not found:
        raise RunError(f"{results} has no rows: the run has trained nothing.")
    return [_row(row, results, record.notes) for row in found]


def read_json(path: pathlib.Path) -> Any:
    """A JSON file; raises RunError if it cannot be read."""
    try:
        return without_checksum(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def _row(found: Any, path: pathlib.Path, notes: list[str]) -> Row:
    """A row with every value of its type: what is drawn and printed can rely on it."""
    known = {field.name for field in dataclasses.fields(Row)}
    try:
        found = without_checksum(found)
        if isinstance(found, dict) and (unknown := sorted(set(found) - known)):
            notes.append(
                f"Results of another version: {', '.join(map(clean, unknown))} are not known here and "
                "are left out."
            )
            found = {name: value for name, value in found.items() if name in known}
        return Row.read(found)
    except ValueError as error:
        raise RunError(f"{path} is damaged or of another version: {error}") from error


def _history(path: pathlib.Path, notes: list[str]) -> History:
    """Checks by stage; a list is what versions wrote that recorded pruning alone."""
    if not path.exists():
        notes.append("No history.json: loss, thresholds and non-zeros over time are not shown.")
        return {}
    found = read_json(path)
    found = {"prune": found} if isinstance(found, list) else found
    if not isinstance(found, dict):
        notes.append("history.json is damaged: what happened over time is not shown.")
        return {}
    history = {}
    for stage, checks in found.items():
        kept = [
            {k: v for k, v in check.items() if is_number(v)}
            for check in (checks if isinstance(checks, list) else [])
            if isinstance(check, dict) and is_number(check.get("step"))
        ]
        if kept:
            history[clean(stage)] = kept
    return history


def read_object(path: pathlib.Path, notes: list[str]) -> dict[str, Any]:
    """A JSON object; empty, with a note, where there is none."""
    if not path.exists():
        notes.append(f"No {path.name}: what it says is missing from this page.")
        return {}
    try:
        found = read_json(path)
    except RunError as error:
        notes.append(str(error))
        return {}
    return found if isinstance(found, dict) else {}
