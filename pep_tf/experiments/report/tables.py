"""Tables of a page: columns, and cells that carry the exact value beside the rounded text."""

import dataclasses
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pep_tf.experiments.report import drawing, text
from pep_tf.experiments.report.reading import Record
from pep_tf.experiments.report.same_rows import spread_over
from pep_tf.experiments.report.summary import Line
from pep_tf.numbers import is_number


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell; `value` is the exact number, as text, or empty."""

    text: str
    value: str = ""
    marked: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page; the first column names the row."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which are set flush right."""
        return any(len(row) > column and row[column].value for row in self.rows)


_Show = Callable[[float | None], str]
# Heading, attribute of `Row`, form, whether its spread over the seeds is worth showing.
_COSTS: tuple[tuple[str, str, _Show, bool], ...] = (
    ("test AUC", "test_auc", text.auc, True),  # first: all that a small screen has room for
    ("numbers kept", "nnz", text.count, False),
    ("of the table", "fraction", lambda v: "-" if v is None else text.percent(v), False),
    ("validation AUC", "validation_auc", text.auc, True),
    ("test logloss", "test_logloss", text.auc, True),
    ("bytes, exported", "export_bytes", text.count, False),
    ("of them tables", "table_bytes", text.count, False),
    ("bytes, computed", "bytes", text.count, False),
    ("index bytes", "index_bytes", text.count, False),
    ("first-order weights", "first_order", text.count, False),
    ("tower", "tower", text.count, False),
    ("parameters in all", "parameters", text.count, False),
    ("best epoch", "best_epoch", text.count, False),
    ("epochs", "epochs", text.count, False),
    ("training", "seconds", text.duration, False),
)


def results_table(runs: Sequence[tuple[str, Sequence[Line]]], chosen: Line | None) -> Table:
    """One line a table that was trained; means over the seeds, with the spread of the metrics."""
    several = len(runs) > 1
    rows = [
        [Cell(f"{name}: {line.label}" if several else line.label, marked=line is chosen)]
        + [_cost(line, *column[1:]) for column in _COSTS]
        for name, lines in runs
        for line in lines
    ]
    seeds = max((len(line.rows) for _, lines in runs for line in lines), default=1)
    caption = "Every table that was trained, and every number that has to be stored."
    if seeds > 1:
        caption += f" Means over {seeds} seeds, ± standard deviation."
        over = {spread_over([row for line in lines for row in line.rows]) for _, lines in runs}
        caption += "".join(f" {told}" for told in sorted(over - {""})) if len(over) == 1 else ""
    return Table(caption, ["table", *(column[0] for column in _COSTS)], rows)


def seeds_table(runs: Sequence[tuple[str, Sequence[Line]]]) -> Table | None:
    """Each seed by itself; None where no table has more than one."""
    if all(len(line.rows) == 1 for _, lines in runs for line in lines):
        return None
    rows = [
        [
            Cell(f"{name}: {line.label}" if len(runs) > 1 else line.label),
            Cell(str(row.seed), str(row.seed)),
            *(_cost(Line(line.label, (row,)), *column[1:]) for column in _COSTS),
        ]
        for name, lines in runs
        for line in lines
        for row in line.rows
    ]
    return Table("Each seed by itself.", ["table", "seed", *(c[0] for c in _COSTS)], rows)


def _cost(line: Line, name: str, show: _Show, spread: bool) -> Cell:
    mean = _index_bytes(line) if name == "index_bytes" else line.mean(name)
    shown = show(mean)
    if spread and (deviation := line.spread(name)) is not None:
        shown += f" ± {deviation:.4f}"
    if name == "best_epoch" and line.capped:
        shown += ", at the cap"
    return Cell(shown, "" if mean is None else repr(mean))


def _index_bytes(line: Line) -> float:
    """What a row's bytes hold besides numbers of 4 bytes each."""
    return statistics.fmean(row.bytes - 4 * row.parameters for row in line.rows)


def splits_table(records: Sequence[Record]) -> Table:
    """Data set and md5 of the rows of each split, by run and seed."""
    return splits(
        (row.dataset, row.seed, row.split_md5) for record in records for row in record.rows
    )


def splits(found: Iterable[tuple[str, Any, Mapping[str, str]]]) -> Table:
    """The same from (data set, seed, md5 by split)."""
    names = ("train", "validation", "test")
    seen = dict.fromkeys(
        tuple(map(text.clean, (dataset, seed, *(md5.get(name, "-") for name in names))))
        for dataset, seed, md5 in found
    )
    return Table(
        "Data set, and md5 of the row numbers of each split.",
        ["data set", "seed", *names],
        [[Cell(cell) for cell in line] for line in seen],
    )


def settings_table(records: Sequence[Record]) -> Table | None:
    """The configuration; where several runs differ, the differing settings come first and are marked."""
    if not any(record.config for record in records):
        return None
    names = list(dict.fromkeys(name for record in records for name in record.config))
    shown = {n: [_setting(record.config, n) for record in records] for n in names}
    differs = {name: len(set(values)) > 1 for name, values in shown.items()}
    rows = [
        [Cell(text.clean(name), marked=differs[name]), *(Cell(value) for value in shown[name])]
        for name in sorted(names, key=lambda name: not differs[name])
    ]
    values = [record.name for record in records] if len(records) > 1 else ["value"]
    return Table("Configuration", ["setting", *values], rows)


def _setting(config: Mapping[str, Any], name: str) -> str:
    """A setting in words; digests of the data are for comparing, not for reading."""
    value = config.get(name, "-")
    if name == "data" and isinstance(value, Mapping):
        value = {key: found for key, found in value.items() if key != "identity"}
    return _shown(value)


def versions_table(records: Sequence[Record]) -> Table:
    """Versions and machine, by run."""
    columns = [_origin(record) for record in records]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[Cell(name), *(Cell(column.get(name, "-")) for column in columns)] for name in names]
    values = [record.name for record in records] if len(records) > 1 else ["value"]
    return Table("Versions and machine", ["what", *values], rows)


def _origin(record: Record) -> dict[str, str]:
    facts = dict(record.rows[0].versions) if record.rows else {}
    found = record.environment
    for part in ("versions", "machine"):
        if isinstance(found.get(part), dict):
            facts |= found[part]
    memory: Any = facts.get("memory")
    if is_number(memory):
        facts["memory"] = drawing.short_bytes(memory)
    facts |= {name: found[name] for name in ("device", "started") if name in found}
    return {text.clean(name): _shown(value) for name, value in facts.items()}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return text.clean(", ".join(map(str, value)))
    if isinstance(value, Mapping):
        return text.clean("; ".join(f"{k}: {_shown(v)}" for k, v in value.items()), longest=1000)
    if value is None:
        return "-"
    return text.clean(json.dumps(value) if isinstance(value, bool) else value)
