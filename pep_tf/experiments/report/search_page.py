"""What the page of a search shows, in order."""

import pathlib
from typing import Any

from pep_tf.experiments.report import commands, text
from pep_tf.experiments.report.headline import Card
from pep_tf.experiments.report.page import section
from pep_tf.experiments.report.search import Search, importance
from pep_tf.experiments.report.search_figures import draw_search
from pep_tf.experiments.report.tables import Cell, Table


def search_page(search: Search, figures: pathlib.Path) -> dict[str, Any]:
    """Draws the figures of a search, and returns what the template needs."""
    ranking = importance(search)
    if ranking is None:
        search.notes.append(
            "Which hyper-parameters mattered is not shown: it takes ten completed trials that differ."
        )
    path = commands.quoted(search.path)
    sections = [
        section("search", "What was found", pictures=draw_search(search, ranking, figures)),
        section("front", "The Pareto front", tables=[_front(search)]),
        section("trials", "Trials", tables=[_trials(search)]),
        section(
            "commands",
            "Do it yourself",
            commands=[
                commands.Command(
                    "Make this page again", f"python -m pep_tf.experiments.report {path}"
                )
            ],
        ),
    ]
    return {
        "title": f"Search on {search.dataset}",
        "subtitle": f"{search.algorithm} · {search.objective} · {len(search.trials)} trials",
        "cards": _cards(search),
        "notes": search.notes,
        "sections": sections,
    }


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
            Cell(text.count(p["parameters"]), repr(p["parameters"])),
            Cell(text.auc(p["validation_auc"]), repr(p["validation_auc"])),
            _test(p.get("test_auc")),
        ]
        for p in front
    ]
    columns = ["trial", "entries kept", "parameters in all", "validation AUC", "test AUC"]
    return Table("No trial is both smaller and better than one of these.", columns, rows)


def _test(value: Any) -> Cell:
    return Cell(text.auc(value), repr(value)) if text.is_number(value) else Cell("-")


def _trials(search: Search) -> Table:
    names = sorted({name for trial in search.trials for name in trial.values})
    sign = -1 if search.maximize else 1

    def order(trial: Any) -> tuple[bool, float]:
        return not trial.complete, sign * (trial.score or 0.0)

    rows = [
        [
            Cell(trial.id, marked=trial.id == search.best),
            Cell(trial.status.lower()),
            Cell("-") if trial.score is None else Cell(f"{trial.score:.4f}", repr(trial.score)),
            *(Cell(_value(trial.values.get(name, "-"))) for name in names),
            Cell(text.duration(trial.seconds)),
        ]
        for trial in sorted(search.trials, key=order)
    ]
    return Table("All trials, best first.", ["trial", "status", "score", *names, "time"], rows)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else text.clean(value)
