"""Tables of the page of a run: cells carry the exact value beside the rounded text."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pep_tf.experiments import text
from pep_tf.experiments.report.parts import Cell, Table
from pep_tf.experiments.report.reading import Record
from pep_tf.experiments.summary import Line, spread_over
from pep_tf.numbers import is_number

# Heading, attribute of `Row`, form.
_COSTS: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("test AUC", "test_auc", text.auc),  # first: all that a small screen has room for
    ("numbers kept", "nnz", text.count),
    ("of the table", "fraction", text.percent),
    ("validation AUC", "validation_auc", text.auc),
    ("test logloss", "test_logloss", text.auc),
    ("bytes, exported", "export_bytes", text.count),
    ("of them tables", "table_bytes", text.count),
    ("bytes, computed", "bytes", text.count),
    ("index bytes", "index_bytes", text.count),
    ("first-order weights", "first_order", text.count),
    ("tower", "tower", text.count),
    ("parameters in all", "parameters", text.count),
    ("best epoch", "best_epoch", text.count),
    ("epochs", "epochs", text.count),
    ("training", "seconds", text.duration),
)


def results_tables(
    runs: Sequence[tuple[str, Sequence[Line]]], chosen: Line | None = None
) -> tuple[Table, list[Table]]:
    """A line for each table that was trained, means over the seeds; and each seed by itself if several."""
    lines = [
        (f"{name}: {line.label}" if len(runs) > 1 else line.label, line)
        for name, own in runs
        for line in own
    ]
    columns = [column for column, *_ in _COSTS]
    seeds = max((len(line.rows) for _, line in lines), default=1)
    caption = "Every table that was trained, and every number that has to be stored."
    if seeds > 1:
        caption += f" Means over {seeds} seeds, ± standard deviation."
        over = {spread_over([row for line in own for row in line.rows]) for _, own in runs}
        caption += "".join(f" {told}" for told in over - {""}) if len(over) == 1 else ""
    means = [[Cell(label, marked=line is chosen), *_costs(line)] for label, line in lines]
    each = [
        [label, Cell(str(row.seed), str(row.seed)), *_costs(Line(label, (row,)))]
        for label, line in lines
        for row in line.rows
    ]
    folded = [Table("Each seed by itself.", ["table", "seed", *columns], each)] if seeds > 1 else []
    return Table(caption, ["table", *columns], means), folded


def _costs(line: Line) -> list[Cell]:
    cells = []
    for _, name, show in _COSTS:
        mean = _index_bytes(line) if name == "index_bytes" else line.mean(name)
        shown = show(mean)
        if show is text.auc and (deviation := line.spread(name)) is not None:
            shown += f" ± {deviation:.4f}"
        if name == "best_epoch" and line.capped:
            shown += ", at the cap"
        cells.append(Cell(shown, "" if mean is None else repr(mean)))
    return cells


def _index_bytes(line: Line) -> float:
    """What a row's bytes hold besides numbers of 4 bytes each."""
    return statistics.fmean(row.bytes - 4 * row.parameters for row in line.rows)


def splits_table(found: Iterable[tuple[str, Any, Mapping[str, str]]]) -> Table:
    """Splits, from (data set, seed, md5 by split); the same ones once."""
    names = ("train", "validation", "test")
    lines = [[dataset, seed, *(md5.get(n, "-") for n in names)] for dataset, seed, md5 in found]
    rows = list(dict.fromkeys(tuple(map(text.clean, line)) for line in lines))
    caption = "Data set, and md5 of the row numbers of each split."
    return Table(caption, ["data set", "seed", *names], rows)


def origin_tables(records: Sequence[Record]) -> list[Table]:
    """Configuration, where it is known, and versions and machine, with a column for each run."""
    headings = [record.name for record in records] if len(records) > 1 else ["value"]

    def table(caption: str, what: str, columns: list[dict[str, str]], differing: bool) -> Table:
        """One value below the other; with `differing` those that differ come first and are marked."""
        rows = {n: [c.get(n, "-") for c in columns] for column in columns for n in column}
        differs = {n: differing and len(set(values)) > 1 for n, values in rows.items()}
        order = sorted(rows, key=lambda name: not differs[name])
        cells = [[Cell(n, marked=differs[n]), *rows[n]] for n in order]
        return Table(caption, [what, *headings], cells)

    settings = [_settings(record.config) for record in records]
    versions = table("Versions and machine", "what", [_origin(r) for r in records], False)
    return [table("Configuration", "setting", settings, True)] * any(settings) + [versions]


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    """Settings in words; digests of the data are for comparing, not for reading."""
    shown = dict(config)
    if isinstance(data := shown.get("data"), Mapping):
        shown["data"] = {key: found for key, found in data.items() if key != "identity"}
    return _words(shown)


def _origin(record: Record) -> dict[str, str]:
    facts = dict(record.rows[0].versions) if record.rows else {}
    found = record.environment
    for part in ("versions", "machine"):
        if isinstance(found.get(part), dict):
            facts |= found[part]
    memory: Any = facts.get("memory")
    if is_number(memory):
        facts["memory"] = text.short_bytes(memory)
    return _words(facts | {name: found[name] for name in ("device", "started") if name in found})


def _words(facts: Mapping[str, Any]) -> dict[str, str]:
    return {text.clean(name): _shown(value) for name, value in facts.items()}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return text.clean(", ".join(map(str, value)))
    if isinstance(value, Mapping):
        return text.clean("; ".join(f"{k}: {_shown(v)}" for k, v in value.items()), longest=1000)
    if value is None:
        return "-"
    return text.clean(json.dumps(value) if isinstance(value, bool) else value)
