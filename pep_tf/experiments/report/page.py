"""What the pages of a run and of a comparison show, in order."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from pep_tf.experiments.report import commands, tables, text
from pep_tf.experiments.report.curves import draw_curves
from pep_tf.experiments.report.drawing import Picture
from pep_tf.experiments.report.frontier import draw_frontiers
from pep_tf.experiments.report.headline import headline
from pep_tf.experiments.report.learned_sizes import draw_sizes
from pep_tf.experiments.report.reading import Record
from pep_tf.experiments.report.same_rows import distinct_rows
from pep_tf.experiments.report.sizes import mean_sizes
from pep_tf.experiments.report.summary import Choice, Line, choose, lines_of
from pep_tf.experiments.results import Row
from pep_tf.models import MODELS
from pep_tf.training.methods import PEP


def section(anchor: str, title: str, **parts: Any) -> dict[str, Any]:
    """A section of the template; what it has no use for stays empty."""
    empty: dict[str, Any] = {"text": "", "pictures": [], "tables": [], "folded": [], "commands": []}
    return {"anchor": anchor, "title": title, **empty, **parts}


def run_page(record: Record, figures: pathlib.Path) -> dict[str, Any]:
    """Draws the figures of a run, and returns what the template needs."""
    lines = lines_of(record.rows)
    choice = choose(lines)
    budget = choice.ticket.rows[0].budget if choice.ticket else None
    sizes = mean_sizes(record.sizes)
    budgets = [t.budget for t in sizes.tickets] if sizes else []
    notes = record.notes
    drawn = _Drawer(notes)
    runs = [(record.name, lines)]
    learned = drawn(lambda: draw_sizes(sizes, budget, figures)) if sizes else []
    sections = [
        section(
            "frontier", "How small, how good", pictures=drawn(lambda: draw_frontiers(runs, figures))
        ),
        section(
            "results",
            "Results",
            tables=[tables.results_table(runs, choice.ticket)],
            folded=_present(tables.seeds_table(runs)),
        ),
        section("sizes", "What was learned", pictures=learned),
        section(
            "training",
            "What happened over time",
            pictures=drawn(lambda: draw_curves(record.histories, budgets, figures)),
        ),
        section("commands", "Do it yourself", commands=_commands(record, budget)),
        _origin([record]),
    ]
    if len([line for line in lines if not line.uniform]) == 1:
        notes.append("One budget only: a frontier needs several, see --budgets.")
    if len({tuple(sorted(row.seed for row in line.rows)) for line in lines}) > 1:
        of = "seeds" if distinct_rows(record.rows) == 1 else "splits"
        notes.append(f"Not every table has all seeds: their means are not over the same {of}.")
    if not any(line.baseline for line in lines):
        notes.append("No baseline: there is nothing to compare the tickets with.")
    if all(row.export_bytes is None for row in record.rows):
        notes.append("No exported models were measured: bytes are computed.")
    row = record.rows[0]
    return {
        "title": f"{_title(row.model)} on {text.clean(row.dataset)}",
        "subtitle": _subtitle(record),
        "notices": text.notices(record.config),
        "cards": headline(record, lines, choice),
        "notes": notes,
        "sections": [s for s in sections if _filled(s)],
    }


def _title(model: str) -> str:
    """A model as its paper writes it, which is the name of its class."""
    return MODELS[model].__name__ if model in MODELS else text.clean(model)


def comparison_page(records: Sequence[Record], figures: pathlib.Path) -> dict[str, Any]:
    """The same for several runs side by side."""
    names = _distinct_names(records)
    runs = [(name, lines_of(record.rows)) for name, record in zip(names, records, strict=True)]
    notes = [f"{n}: {note}" for n, r in zip(names, records, strict=True) for note in r.notes]
    notes = _not_comparable(records) + notes
    sections = [
        section(
            "short",
            "In short",
            text="Of each run the smallest ticket that costs no more than 0.001 of validation AUC, or its "
            "best one.",
            tables=[_in_short(runs)],
        ),
        section(
            "frontier",
            "How small, how good",
            pictures=_Drawer(notes)(lambda: draw_frontiers(runs, figures)),
        ),
        section(
            "results",
            "Results",
            tables=[tables.results_table(runs, None)],
            folded=_present(tables.seeds_table(runs)),
        ),
        section(
            "commands",
            "Do it yourself",
            commands=[
                commands.Command(f"{name}: {command.what.lower()}", command.line)
                for name, record in zip(names, records, strict=True)
                for command in commands.reproduce(record)
            ]
            + [commands.page_again(*(record.path for record in records))],
        ),
        _origin(records),
    ]
    datasets = sorted({text.clean(row.dataset) for record in records for row in record.rows})
    return {
        "title": f"{len(records)} runs compared",
        "subtitle": ", ".join(datasets),
        "notices": [
            dataclasses.replace(notice, title=f"{name}: {notice.title}")
            for name, record in zip(names, records, strict=True)
            for notice in text.notices(record.config)
        ],
        "cards": [],
        "notes": notes,
        "sections": [s for s in sections if _filled(s)],
    }


class _Drawer:
    """Draws; numbers that no figure can be made of cost the page that figure, with a note."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def __call__(self, draw: Callable[[], list[Picture]]) -> list[Picture]:
        try:
            return draw()
        except (ArithmeticError, IndexError, ValueError) as error:
            self._notes.append(f"Some figures could not be drawn: {text.clean(error)}")
            return []


def _commands(record: Record, budget: int | None) -> list[commands.Command]:
    found = [*commands.reproduce(record), commands.page_again(record.path)]
    if served := commands.serve(record, budget):
        return found + served
    record.notes.append("No exported models in the folder: there is nothing to serve from here.")
    return found


def _origin(records: Sequence[Record]) -> dict[str, Any]:
    return section(
        "origin",
        "Where it comes from",
        tables=[tables.splits_table(records)],
        folded=[*_present(tables.settings_table(records)), tables.versions_table(records)],
    )


def _in_short(runs: Sequence[tuple[str, Sequence[Line]]]) -> tables.Table:
    rows = []
    for name, lines in runs:
        choice = choose(lines)
        if choice.ticket is None:
            rows.append([tables.Cell(name), *[tables.Cell("-")] * 6])
            continue
        rows.append([tables.Cell(name), *_short_cells(choice, choice.ticket)])
    columns = [
        "run",
        "test AUC",
        "ticket",
        "numbers kept",
        "uniform table",
        "difference",
        "within 0.001",
    ]
    return tables.Table("", columns, rows)


def _short_cells(choice: Choice, ticket: Line) -> list[tables.Cell]:
    own = ticket.mean("test_auc")
    before = choice.baseline.mean("test_auc") if choice.baseline else None
    gap = text.signed(own - before) if own is not None and before is not None else "-"
    words = (
        text.auc(own),
        ticket.label,
        text.count(ticket.mean("nnz")),
        text.auc(before),
        gap,
        "yes, on validation" if choice.within else "no",
    )
    return [tables.Cell(word) for word in words]


def _not_comparable(records: Sequence[Record]) -> list[str]:
    """A warning where runs were scored on different rows."""
    by_seed: dict[int, list[Row]] = {}
    for record in records:
        for row in record.rows:
            by_seed.setdefault(row.seed, []).append(row)
    if len({row.dataset for record in records for row in record.rows}) > 1:
        return ["The runs used different data sets: their AUCs must not be compared."]
    if any(distinct_rows(rows) > 1 for rows in by_seed.values()):
        return [
            "The runs were trained and scored on different rows, by content or by split: their AUCs "
            "must not be compared."
        ]
    if distinct_rows([row for rows in by_seed.values() for row in rows]) == 1:
        return []
    if len({tuple(record.seeds) for record in records}) > 1:
        return ["The runs have different seeds, and so partly different splits: compare with care."]
    return []


def _distinct_names(records: Sequence[Record]) -> list[str]:
    names = [record.name for record in records]
    return [n if names.count(n) == 1 else f"{n} ({i})" for i, n in enumerate(names, 1)]


def _subtitle(record: Record) -> str:
    row = record.rows[0]
    seeds = record.seeds
    methods = {own.method for own in record.rows} - {None, PEP}
    how = (
        f"method {', '.join(sorted(map(text.clean, methods)))}"
        if methods
        else (f"thresholds by {text.clean(row.granularity)}")
    )
    parts = [f"run {record.name}", how]
    if row.embedding_dim:
        parts.append(f"d = {row.embedding_dim} before pruning")
    parts.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds")
    started = record.environment.get("started")
    if isinstance(started, str):
        parts.append(text.clean(started[:10]))
    return " · ".join(parts)


def _present(table: tables.Table | None) -> list[tables.Table]:
    return [] if table is None else [table]


def _filled(found: dict[str, Any]) -> bool:
    return any(found[part] for part in ("pictures", "tables", "folded", "commands"))
