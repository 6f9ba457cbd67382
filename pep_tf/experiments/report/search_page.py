"""What the page of a search shows, in order."""

import pathlib
from typing import Any

from pep_tf.experiments.report import commands, text
from pep_tf.experiments.report.headline import Card
from pep_tf.experiments.report.page import section
from pep_tf.experiments.report.reading import Record
from pep_tf.experiments.report.search import STUDY, Search, Trial, importance
from pep_tf.experiments.report.search_figures import as_cut, draw_search
from pep_tf.experiments.report.tables import Cell, Table, settings_table, splits, versions_table
from pep_tf.numbers import is_number


def search_page(search: Search, figures: pathlib.Path) -> dict[str, Any]:
    """Draws the figures of a search, and returns what the template needs."""
    ranking = importance(search)
    if ranking is None:
        search.notes.append(
            "Which hyper-parameters mattered is not shown: it takes ten completed trials that differ."
        )
    sections = [
        section("search", "What was found", pictures=draw_search(search, ranking, figures)),
        section("front", "The Pareto front", tables=[_front(search)]),
        section("trials", "Trials", tables=[_trials(search)]),
        section("commands", "Do it yourself", commands=_commands(search)),
        _origin(search),
    ]
    return {
        "title": f"Search on {search.dataset}",
        "subtitle": f"{search.algorithm} · {search.objective} · {len(search.trials)} trials",
        "notices": text.notices(search.config),
        "cards": _cards(search),
        "notes": search.notes,
        "sections": sections,
    }


def _commands(search: Search) -> list[commands.Command]:
    study = search.path / STUDY
    run = f"python -m pep_tf.experiments.main --config={commands.quoted(study)}"
    return [
        *commands.as_recorded("Repeat the search", search.environment, search.notes, search.config),
        *([commands.Command("Run what it found", run)] if study.exists() else []),
        commands.page_again(search.path),
    ]


def _origin(search: Search) -> dict[str, Any]:
    record = Record(search.path, [], config=search.config, environment=search.environment)
    seed = search.config.get("seed", "-")
    return section(
        "origin",
        "Where it comes from",
        tables=[splits([(search.dataset, seed, search.split_md5)])],
        folded=[
            table
            for table in (_space(search), settings_table([record]), versions_table([record]))
            if table is not None and table.rows
        ],
    )


def _space(search: Search) -> Table:
    """What was varied, and between which values."""
    rows = []
    for name, entry in search.space.items():
        if isinstance(choices := entry.get("values"), list):
            among = ", ".join(map(_value, choices))
        else:
            among = (
                f"{_value(entry.get('min_value', '-'))} to {_value(entry.get('max_value', '-'))}"
            )
        scale = entry.get("sampling", "-")
        cells = (name, among, scale, _value(entry.get("default", "-")))
        rows.append([Cell(text.clean(cell)) for cell in cells])
    return Table("The search space", ["hyper-parameter", "values", "scale", "default"], rows)


def _cards(search: Search) -> list[Card]:
    best = next((t for t in search.trials if t.id == search.best), None)
    complete = sum(t.complete for t in search.trials)
    cards = []
    if best is not None and best.score is not None:
        values = tuple(f"{name} = {_value(value)}" for name, value in best.values.items())
        cards.append(Card("What is best?", f"{best.score:.4f}", search.objective, values))
    if search.pareto:
        small = min(search.pareto, key=lambda p: p["parameters"])
        good = max(search.pareto, key=lambda p: p["validation_auc"])
        cards.append(
            Card(
                "How small?",
                text.count(small["parameters"]),
                "parameters at least",
                (
                    f"The smallest point of the front: validation AUC {text.auc(small['validation_auc'])}.",
                    f"The best: {text.auc(good['validation_auc'])} with "
                    f"{text.count(good['parameters'])} parameters.",
                ),
            )
        )
    spent = sum(t.seconds or 0.0 for t in search.trials)
    cards.append(
        Card(
            "Why believe it?",
            f"{complete} of {len(search.trials)}",
            "trials completed",
            (
                f"{text.duration(spent)} of training in all.",
                "Trials were judged on the validation split. The best of many is flattered by chance: the "
                "test AUC of the front is the honest figure.",
            ),
        )
    )
    return cards


def _front(search: Search) -> Table:
    front = sorted(search.pareto, key=lambda p: -p["parameters"])
    rows = [
        [
            Cell(text.clean(p.get("trial", "-"))),
            Cell(text.count(p["budget"]), repr(p["budget"])),
            *(_auc(p.get("test_auc")), _auc(p["validation_auc"] if retrained else None)),
            _auc(as_cut(p)),
            Cell(text.count(p["parameters"]), repr(p["parameters"])),
        ]
        for p in front
        for retrained in [is_number(p.get("test_auc"))]
    ]
    columns = ["trial", "entries kept", "test AUC", "validation AUC", "validation AUC as cut"]
    caption = (
        "No trial is both smaller and, as it was cut, better than one of these. Test and validation AUC "
        "are those after retraining."
    )
    return Table(caption, [*columns, "parameters in all"], rows)


def _auc(value: Any) -> Cell:
    return Cell(text.auc(value), repr(value)) if is_number(value) else Cell("-")


def _trials(search: Search) -> Table:
    names = sorted({name for trial in search.trials for name in trial.values})
    sign = -1 if search.maximize else 1

    def order(trial: Any) -> tuple[bool, float]:
        return not trial.complete, sign * (trial.score or 0.0)

    rows = [
        [
            Cell(trial.id, marked=trial.id == search.best),
            Cell(_status(trial)),
            Cell("-") if trial.score is None else Cell(f"{trial.score:.4f}", repr(trial.score)),
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
