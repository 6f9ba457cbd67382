"""What a run folder holds, read with care: what is missing or damaged is noted, not fatal."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

from pep_tf.errors import PepError, RunError
from pep_tf.experiments.report.sizes import Sizes, read_sizes
from pep_tf.experiments.report.text import clean, is_number
from pep_tf.experiments.results import Row
from pep_tf.numbers import type_name

History = dict[str, list[dict[str, float]]]


@dataclasses.dataclass
class Record:
    """A run as the page needs it.

    Attributes:
        path: the run's folder.
        rows: one a trained table, of all seeds.
        config: `config.json`; empty where there is none.
        environment: `environment.json`; empty where there is none.
        histories: what the stages recorded, one a seed.
        sizes: learned sizes, one a seed.
        prune_seconds: time of the pruning, one a seed.
        notes: what is missing, and what that means for the page.
        inputs: what of the folder the page is drawn from: its rows by name, files by their path.
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


def read_run(path: pathlib.Path) -> Record:
    """Reads a run folder.

    Raises:
        RunError: a folder without any trace of a run, or without a single finished row; results that
            are damaged.
    """
    if not path.is_dir():
        raise RunError(f"{path} is not a folder. Give the folder of a run.")
    record = Record(path, [])
    record.config = read_object(path / "config.json", record.notes)
    record.environment = read_object(path / "environment.json", record.notes)
    parts = sorted((p for p in (path / "seeds").glob("*") if p.is_dir()), key=lambda p: p.name)
    record.rows = _rows(path, parts, record)
    notes = {part.name: _read_part(part, record) for part in parts or [path]}
    for note in dict.fromkeys(note for own in notes.values() for note in own):
        lacking = [name for name, own in notes.items() if note in own]
        of = "" if len(lacking) == len(notes) else f"Seed {clean(', '.join(lacking))}: "
        record.notes.append(of + note)
    record.notes = list(dict.fromkeys(record.notes))
    kept = {"config.json": record.config, "environment.json": record.environment}
    record.inputs += [name for name, found in {**kept, "export": exports_of(path)}.items() if found]
    record.inputs += [_name(row) for row in record.rows]
    return record


def exports_of(path: pathlib.Path) -> list[pathlib.Path]:
    """The exported models of a run, in order: folders of version 1."""
    return sorted(
        folder
        for pattern in ("export/*/1", "seeds/*/export/*/1")
        for folder in path.glob(pattern)
        if (folder / "saved_model.pb").exists()
    )


def _name(row: Row) -> str:
    """A row as the list of a page's inputs has it."""
    return f"results of {row.stage} {row.budget} ({row.init}, seed {row.seed})"


def _read_part(part: pathlib.Path, record: Record) -> list[str]:
    """What is kept once a seed; returns what of it is missing."""
    notes: list[str] = []
    used: list[str] = []
    history = _history(part / "history.json", notes)
    if history:
        record.histories.append(history)
        used.append("history.json")
    try:
        if sizes := read_sizes(part, notes):
            record.sizes.append(sizes)
            used += [f"tickets/ticket_{ticket.budget}.safetensors" for ticket in sizes.tickets]
            used += [] if sizes.bins is None else ["feature_counts.safetensors"]
    except PepError as error:
        notes.append(f"Learned sizes are not shown: {error}")
    done = read_object(part / "tickets" / "done.json", [])
    if is_number(seconds := done.get("seconds")):
        record.prune_seconds.append(float(seconds))
        used.append("tickets/done.json")
    record.inputs += [str(part.relative_to(record.path) / name) for name in used]
    return notes


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
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: is_number(v) and isinstance(v, int),
    "float": lambda v: is_number(v) or (isinstance(v, float) and math.isnan(v)),
    "str": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool),
    "dict[str, str]": lambda v: isinstance(v, dict) and all(isinstance(x, str) for x in v.values()),
}


def _row(found: Any, path: pathlib.Path, notes: list[str]) -> Row:
    """A row with every value of its type: what is drawn and printed can rely on it."""
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged or of another version: a row must be an object.")
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Row):
        kind = type_name(field)
        optional = kind.endswith(" | None")
        value = found.get(field.name)
        if not (optional and value is None) and not _CHECKS[kind.removesuffix(" | None")](value):
            raise RunError(
                f"{path} is damaged or of another version: `{field.name}` must be {kind}. "
                f"Received: {clean(repr(value))}"
            )
        values[field.name] = value
    if unknown := sorted(set(found) - set(values)):
        notes.append(
            f"Results of another version: {', '.join(map(clean, unknown))} are not known here and "
            "are left out."
        )
    return Row(**values)


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
