"""What the page of a search shows, in order."""

import pathlib
from collections.abc import Callable
from typing import Any

from pep_tf.experiments import text
from pep_tf.experiments.report import commands
from pep_tf.experiments.report.drawing import Sheet
from pep_tf.experiments.report.parts import Card, Cell, Table, notices, number, section
from pep_tf.experiments.report.search import SearchRecord, importance
from pep_tf.experiments.report.search_figures import as_cut, plot_search
from pep_tf.experiments.report.tables import origin_tables, splits_table
from pep_tf.experiments.search_record import STUDY, FrontPoint, Search, Trial, scored_as_cut

_AS_CUT = "validation AUC as cut"
_FRONT: dict[str, Callable[[FrontPoint], Cell | str]] = {
    "trial": lambda p: p.trial,
    "entries kept": lambda p: number(text.count, p.budget),
    "test AUC": lambda p: number(text.auc, p.test_auc),
    "validation AUC": lambda p: number(text.auc, None if p.test_auc is None else p.validation_auc),
    _AS_CUT: lambda p: number(text.auc, as_cut(p)),
    "parameters in all": lambda p: number(text.count, p.parameters),
}


def search_page(record: SearchRecord, figures: pathlib.Path) -> dict[str, Any]:
    """Draws the figures of a search, and returns what the template needs."""
    search, notes, cut = record.search, record.notes, scored_as_cut(record.config)
    ranking = importance(record)
    if ranking is None:
        notes.append(
            "Which hyper-parameters mattered is not shown: it takes ten completed trials that differ."
        )
    pictures = Sheet(figures, notes).draw(plot_search, search, ranking, cut)
    by_size = sorted(search.pareto, key=lambda p: -p.parameters)
    columns = {name: show for name, show in _FRONT.items() if cut or name != _AS_CUT}
    front = [[show(point) for show in columns.values()] for point in by_size]
    caption = "No trial is both smaller and better on validation than one of these."
    if cut:
        caption = (
            "No trial is both smaller and, as it was cut, better than one of these. Test and validation "
            "AUC are those after retraining."
        )
    origin = [_space(search), *origin_tables([record])]
    seed = record.config.get("seed", "-")
    sections = [
        section("search", "What was found", pictures=pictures),
        section("front", "The Pareto front", tables=[Table(caption, list(columns), front)]),
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
        rows.append(list(map(text.clean, cells)))
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


def _trials(search: Search) -> Table:
    names = sorted({name for trial in search.trials for name in trial.values})
    rows = [
        [
            Cell(trial.id, marked=trial.id == search.best),
            _status(trial),
            number(text.auc, trial.score),
            *(_value(trial.values.get(name, "-")) for name in names),
            text.duration(trial.seconds),
        ]
        for trial in sorted(search.trials, key=lambda t: (not t.complete, -(t.score or 0.0)))
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
