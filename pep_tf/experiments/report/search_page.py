"""What the page of a search shows, in order."""

import pathlib
from collections.abc import Sequence
from typing import Any

from pep_tf.experiments import text
from pep_tf.experiments.report import commands
from pep_tf.experiments.report.drawing import Sheet
from pep_tf.experiments.report.parts import Card, Cell, Table, notices, section
from pep_tf.experiments.report.search import SearchRecord, importance
from pep_tf.experiments.report.search_figures import as_cut, plot_search
from pep_tf.experiments.report.tables import origin_tables, splits_table
from pep_tf.experiments.search_record import STUDY, Search, Trial


def search_page(record: SearchRecord, figures: pathlib.Path) -> dict[str, Any]:
    """Draws the figures of a search, and returns what the template needs."""
    search, notes = record.search, record.notes
    ranking = importance(record)
    if ranking is None:
        notes.append(
            "Which hyper-parameters mattered is not shown: it takes ten completed trials that differ."
        )
    pictures = Sheet(figures, notes).draw(plot_search, search, ranking)
    origin = [_space(search), *origin_tables([record])]
    seed = record.config.get("seed", "-")
    sections = [
        section("search", "What was found", pictures=pictures),
        section("front", "The Pareto front", tables=[_front(search)]),
        section("trials", "Trials", tables=[_trials(search)]),
        section("commands", "Do it yourself", commands=_commands(record)),
        section(
            "origin",
            "Where it comes from",
            tables=[splits_table([(search.dataset, seed, search.split_md5)])],
            folded=[table for table in origin if table.rows],
        ),
    ]
    return {
        "title": f"Search on {search.dataset}",
        "subtitle": f"{search.algorithm} · {search.objective} · {len(search.trials)} trials",
        "notices": notices(record.config),
        "cards": _cards(search),
        "notes": notes,
        "sections": sections,
    }


def _commands(record: SearchRecord) -> list[commands.Command]:
    study = record.path / STUDY
    run = f"python -m pep_tf.experiments.main --config={commands.quoted(study)}"
    return [
        *commands.as_recorded("Repeat the search", record.environment, record.notes, record.config),
        *([commands.Command("Run what it found", run)] if study.exists() else []),
        commands.page_again(record.path),
    ]


def _space(search: Search) -> Table:
    """What was varied, and between which values."""
    rows = []
    for name, entry in search.space.items():
        among = f"{_value(entry.get('min_value', '-'))} to {_value(entry.get('max_value', '-'))}"
        if isinstance(choices := entry.get("values"), list):
            among = ", ".join(map(_value, choices))
        cells = (name, among, entry.get("sampling", "-"), _value(entry.get("default", "-")))
        rows.append([Cell(text.clean(cell)) for cell in cells])
    return Table("The search space", ["hyper-parameter", "values", "scale", "default"], rows)


def _cards(search: Search) -> list[Card]:
    cards = []
    best = next((t for t in search.trials if t.id == search.best), None)
    if best is not None and best.score is not None:
        values = [f"{name} = {_value(value)}" for name, value in best.values.items()]
        cards.append(Card("What is best?", f"{best.score:.4f}", search.objective, values))
    if search.pareto:
        small = min(search.pareto, key=lambda p: p.parameters)
        good = max(search.pareto, key=lambda p: p.validation_auc)
        points = [
            f"The smallest point of the front: validation AUC {text.auc(small.validation_auc)}.",
            f"The best: {text.auc(good.validation_auc)} with {text.count(good.parameters)} parameters.",
        ]
        figure = text.count(small.parameters)
        cards.append(Card("How small?", figure, "parameters at least", points))
    points = [
        f"{text.duration(sum(t.seconds for t in search.trials))} of training in all.",
        "Trials were judged on the validation split. The best of many is flattered by chance: the "
        "test AUC of the front is the honest figure.",
    ]
    complete = f"{sum(t.complete for t in search.trials)} of {len(search.trials)}"
    return [*cards, Card("Why believe it?", complete, "trials completed", points)]


def _front(search: Search) -> Table:
    columns = ["trial", "entries kept", "test AUC", "validation AUC", "validation AUC as cut"]
    caption = (
        "No trial is both smaller and, as it was cut, better than one of these. Test and validation AUC "
        "are those after retraining."
    )
    rows = [
        [
            Cell(p.trial),
            Cell(text.count(p.budget), repr(p.budget)),
            _auc(p.test_auc),
            _auc(None if p.test_auc is None else p.validation_auc),
            _auc(as_cut(p)),
            Cell(text.count(p.parameters), repr(p.parameters)),
        ]
        for p in sorted(search.pareto, key=lambda p: -p.parameters)
    ]
    return Table(caption, [*columns, "parameters in all"], rows)


def _auc(value: float | None) -> Cell:
    return Cell(text.auc(value), "" if value is None else repr(value))


def _trials(search: Search) -> Table:
    names = sorted({name for trial in search.trials for name in trial.values})
    sign = 1 if search.direction == "min" else -1

    def order(trial: Trial) -> tuple[bool, float]:
        return not trial.complete, sign * (trial.score or 0.0)

    rows: list[Sequence[Cell]] = [
        [
            Cell(trial.id, marked=trial.id == search.best),
            Cell(_status(trial)),
            _auc(trial.score),
            *(Cell(_value(trial.values.get(name, "-"))) for name in names),
            Cell(text.duration(trial.seconds)),
        ]
        for trial in sorted(search.trials, key=order)
    ]
    return Table("All trials, best first.", ["trial", "status", "score", *names, "time"], rows)


def _status(trial: Trial) -> str:
    if trial.complete and trial.stopped:
        return "given up half way"
    if trial.complete and not trial.whole:
        return f"{text.percent(trial.share)} of the pruning"
    return trial.status.lower()


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else text.clean(value)
