"""What the pages of a run and of a comparison show, in order."""

import pathlib
from collections.abc import Sequence
from typing import Any

from pep_tf.experiments import text
from pep_tf.experiments.report import commands, tables
from pep_tf.experiments.report.curves import plot_curves
from pep_tf.experiments.report.drawing import Sheet
from pep_tf.experiments.report.frontier import Runs, plot_frontiers
from pep_tf.experiments.report.headline import headline
from pep_tf.experiments.report.learned_sizes import plot_sizes
from pep_tf.experiments.report.parts import Table, filled, notices, section
from pep_tf.experiments.report.reading import Record
from pep_tf.experiments.report.sizes import mean_sizes
from pep_tf.experiments.summary import Line, choose, distinct_rows, lines_of
from pep_tf.models import MODELS
from pep_tf.training.methods import PEP


def run_page(record: Record, figures: pathlib.Path) -> dict[str, Any]:
    """Draws the figures of a run, and returns what the template needs."""
    lines, notes = lines_of(record.rows), record.notes
    choice, sheet = choose(lines), Sheet(figures, notes)
    budget = choice.ticket.rows[0].budget if choice.ticket else None
    sizes = mean_sizes(record.sizes)
    budgets = [t.budget for t in sizes.tickets] if sizes else []
    learned = sheet.draw(plot_sizes, sizes, budget) if sizes else []
    results = _results([(record.name, lines)], sheet, choice.ticket)
    trained = sheet.draw(plot_curves, record.histories, budgets)
    sections = [
        *results,
        section("sizes", "What was learned", pictures=learned),
        section("training", "What happened over time", pictures=trained),
        *_ways([record], commands.of_run(record, budget)),
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
    # A model is written as in its paper, which is the name of its class.
    model = MODELS[row.model].__name__ if row.model in MODELS else text.clean(row.model)
    return {
        "title": f"{model} on {text.clean(row.dataset)}",
        "subtitle": _subtitle(record),
        "notices": notices(record.config),
        "cards": headline(record, lines, choice),
        "notes": notes,
        "sections": filled(sections),
    }


def comparison_page(records: Sequence[Record], figures: pathlib.Path) -> dict[str, Any]:
    """The same for several runs side by side."""
    named = [r.name for r in records]
    names = [n if named.count(n) == 1 else f"{n} ({i})" for i, n in enumerate(named, 1)]
    by_name = list(zip(names, records, strict=True))
    runs = [(name, lines_of(record.rows)) for name, record in by_name]
    notes = _not_comparable(records)
    for note in dict.fromkeys(note for record in records for note in record.notes):
        lacking = ", ".join(name for name, record in by_name if note in record.notes)
        notes.append(f"{lacking}: {note}")
    repeat = [
        commands.Command(f"{name}: {command.what.lower()}", command.line)
        for name, record in by_name
        for command in commands.reproduce(record)
    ]
    again = commands.page_again(*(record.path for record in records))
    sections = [
        section("short", "In short", text=_SHORT, tables=[_in_short(runs)]),
        *_results(runs, Sheet(figures, notes)),
        *_ways(records, [*repeat, again]),
    ]
    datasets = {text.clean(row.dataset) for record in records for row in record.rows}
    return {
        "title": f"{len(records)} runs compared",
        "subtitle": ", ".join(sorted(datasets)),
        "notices": [one for name, r in by_name for one in notices(r.config, f"{name}: ")],
        "cards": [],
        "notes": notes,
        "sections": filled(sections),
    }


_SHORT = "Of each run the smallest ticket that costs no more than 0.001 of validation AUC, or its best one."


def _results(runs: Runs, sheet: Sheet, chosen: Line | None = None) -> list[dict[str, Any]]:
    """The sections of what was measured."""
    results, seeds = tables.results_tables(runs, chosen)
    return [
        section("frontier", "How small, how good", pictures=sheet.draw(plot_frontiers, runs)),
        section("results", "Results", tables=[results], folded=seeds),
    ]


def _ways(records: Sequence[Record], lines: list[commands.Command]) -> list[dict[str, Any]]:
    """The sections of how to repeat it, and of what it was made from."""
    rows = (row for record in records for row in record.rows)
    splits = tables.splits_table((row.dataset, row.seed, row.split_md5) for row in rows)
    origin = tables.origin_tables(records)
    return [
        section("commands", "Do it yourself", commands=lines),
        section("origin", "Where it comes from", tables=[splits], folded=origin),
    ]


def _in_short(runs: Runs) -> Table:
    columns = ["run", "test AUC", "ticket", "numbers kept", "uniform table", "difference"]
    rows = []
    for name, lines in runs:
        choice, words = choose(lines), ["-"] * 6
        if (ticket := choice.ticket) is not None:
            own = ticket.mean("test_auc")
            before = choice.baseline.mean("test_auc") if choice.baseline else None
            words = [
                text.auc(own),
                ticket.label,
                text.count(ticket.mean("nnz")),
                text.auc(before),
                "-" if own is None or before is None else text.signed(own - before),
                "yes, on validation" if choice.within else "no",
            ]
        rows.append([name, *words])
    return Table("", [*columns, "within 0.001"], rows)


def _not_comparable(records: Sequence[Record]) -> list[str]:
    """A warning where runs were scored on different rows."""
    rows = [row for record in records for row in record.rows]
    if len({row.dataset for row in rows}) > 1:
        return ["The runs used different data sets: their AUCs must not be compared."]
    if any(distinct_rows([r for r in rows if r.seed == s]) > 1 for s in {r.seed for r in rows}):
        return [
            "The runs were trained and scored on different rows, by content or by split: their AUCs "
            "must not be compared."
        ]
    if distinct_rows(rows) > 1 and len({tuple(record.seeds) for record in records}) > 1:
        return ["The runs have different seeds, and so partly different splits: compare with care."]
    return []


def _subtitle(record: Record) -> str:
    row, seeds = record.rows[0], record.seeds
    methods = sorted(text.clean(row.method) for row in record.rows if row.method not in (None, PEP))
    thresholds = f"thresholds by {text.clean(row.granularity)}"
    how = f"method {', '.join(dict.fromkeys(methods))}" if methods else thresholds
    parts = [f"run {record.name}", how]
    if row.embedding_dim:
        parts.append(f"d = {row.embedding_dim} before pruning")
    parts.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds")
    started = record.environment.get("started")
    if isinstance(started, str):
        parts.append(text.clean(started[:10]))
    return " · ".join(parts)
