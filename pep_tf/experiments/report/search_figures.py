"""The pictures of a search."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf.experiments import text
from pep_tf.experiments.report import drawing
from pep_tf.experiments.report.parts import number
from pep_tf.experiments.report.search import Importance
from pep_tf.experiments.search_record import FrontPoint, Point, Search, Trial
from pep_tf.numbers import is_number

_MOST_PANELS = 8
_MOST_TICKS = 8


def plot_search(
    sheet: drawing.Sheet, search: Search, ranking: Importance | None, cut: bool
) -> None:
    """Trials and Pareto front, scores in order, importance, and scores by hyper-parameter.

    `cut`: tickets were scored as they were cut, see `scored_as_cut`.
    """
    if any(t.curve for t in search.trials):
        _pareto(sheet, search, cut)
    complete = [t for t in search.trials if t.complete]
    if complete:
        _in_order(sheet, search, complete)
    if ranking is not None:
        _importance(sheet, ranking)
    # Hyper-parameters with more than one value, the most important first.
    names = ranking.names if ranking else sorted({n for t in complete for n in t.values})
    varied = [n for n in names if len({str(t.values.get(n)) for t in complete}) > 1]
    if varied:
        _by_parameter(sheet, search, complete, varied[:_MOST_PANELS])


def as_cut(point: Point | FrontPoint) -> float:
    """Validation AUC of a ticket before it was retrained."""
    cut = getattr(point, "cut_validation_auc", None)
    return point.validation_auc if cut is None else cut


def _pareto(sheet: drawing.Sheet, search: Search, cut: bool) -> None:
    how = "as cut" if cut else "as trained"
    front = sorted(search.pareto, key=lambda p: p.parameters)
    tested = [p for p in front if p.test_auc is not None]
    default, others = search.trials[0].curve, [p for t in search.trials[1:] for p in t.curve]
    hollow = {"markerfacecolor": drawing.colour("paper")}
    series: list[tuple[Sequence[Any], str, int, str, dict[str, Any]]] = [
        (others, "o", 0, f"trials {how}", {"alpha": 0.4, "markersize": 4}),
        (default, "^:", 3, f"the default {how}", {"linewidth": 1}),
        (front, "D-", 1, f"Pareto front {how}", {}),
        (tested, "s", 2, "front retrained: test AUC" if cut else "front: test AUC", hollow),
    ]
    with sheet.picture("pareto", "All trials and the Pareto front", 3.9) as (picture, axes):
        axes.set_xscale("log")
        for found, form, colour, label, look in series:
            if found:
                places = [max(p.parameters, 1) for p in found]
                values = [p.test_auc if found is tested else as_cut(p) for p in found]
                axes.plot(
                    places, values, form, color=drawing.series_colour(colour), label=label, **look
                )
        axes.margins(0.06)
        drawing.log_axis(axes.xaxis)
        axes.set(xlabel="parameters in all (log scale)", ylabel="AUC")
        drawing.legend(axes, 2)
        picture.caption = (
            f"One point per budget: validation AUC of a {'ticket as it was cut' if cut else 'table as trained'}. "
            "No trial has both fewer parameters and a higher one than a point of the front. Test AUC was "
            "read afterwards."
        )
        picture.alt = f"Validation AUC {how} against parameters. Pareto front: " + "; ".join(
            f"{text.count(p.parameters)} parameters {text.auc(as_cut(p))}" for p in front
        )


def _in_order(sheet: drawing.Sheet, search: Search, trials: Sequence[Trial]) -> None:
    best, steps = _best_so_far(trials), range(1, len(trials) + 1)
    with sheet.picture("scores", "Score over the search") as (picture, axes):
        _trials(axes, trials, steps, labels=True)
        colour = drawing.series_colour(1)
        axes.step(steps, best, where="post", color=colour, label="best so far")
        axes.xaxis.set_major_locator(drawing.few_ticks(whole=True))
        axes.set(xlabel="completed trials, in order", ylabel=text.shorter(search.objective, 30))
        drawing.legend(axes, 2)
        picture.caption = (
            "Whether more trials would still help: a line that has been flat for long says no."
        )
        picture.alt = (
            f"{len(trials)} completed trials; the best score is {best[-1]:.4f}, reached at trial "
            f"{int(np.argmax(best == best[-1])) + 1}."
        )


def _best_so_far(trials: Sequence[Trial]) -> np.ndarray:
    """Of whole trials, as the search counts; of all as long as there is none."""
    scores = np.array([t.score for t in trials], float)
    if any(t.whole for t in trials):
        scores = np.where([t.whole for t in trials], scores, np.nan)
    return np.fmax.accumulate(scores)


def _trials(
    axes: Any, trials: Sequence[Trial], places: Sequence[Any], labels: bool = False
) -> None:
    """A point for each trial; hollow where it ended before a whole pruning."""
    blue, paper = drawing.series_colour(0), drawing.colour("paper")
    for whole, label in ((True, "trial"), (False, "ended early")):
        pairs = [(x, t.score) for x, t in zip(places, trials, strict=True) if t.whole == whole]
        if pairs:
            face = {"markerfacecolor": blue if whole else paper, "alpha": 0.6, "markersize": 4}
            own = label if labels else None
            axes.plot(*zip(*pairs, strict=True), "o", color=blue, label=own, **face)


def _importance(sheet: drawing.Sheet, ranking: Importance) -> None:
    names = [text.shorter(n, 26) for n in ranking.names[:_MOST_PANELS]]
    drops, place = ranking.drop[:_MOST_PANELS], np.arange(len(names))
    title, height = "Which hyper-parameters mattered", 1.2 + 0.32 * len(names)
    with sheet.picture("importance", title, height) as (picture, axes):
        axes.barh(place, drops, color=drawing.series_colour(0), height=0.6)
        bars = {"fmt": "none", "elinewidth": 1, "capsize": 2.5, "color": drawing.colour("ink")}
        axes.errorbar(drops, place, xerr=ranking.spread[: len(names)], **bars)
        axes.set_yticks(place, names)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("fall of R² when the values are shuffled")
        low, high = "That is low: the order says little.", "Bars that overlap leave the order open."
        picture.caption = (
            "Permutation importance of a random forest on trials it was not fitted to; bars: "
            f"standard deviation. The forest's R² there is {ranking.r2:.2f}. {high if ranking.r2 > 0.5 else low}"
        )
        picture.alt = "Permutation importance: " + "; ".join(
            f"{n} {d:.3f}" for n, d in zip(names, drops, strict=True)
        )
        picture.numbers(
            ["hyper-parameter", "fall of R²", "Spearman's ρ with the score"],
            [
                [n, number("{:.3f}".format, d), "-" if r is None else number("{:+.2f}".format, r)]
                for n, d, r in zip(ranking.names, ranking.drop, ranking.rho, strict=True)
            ],
        )


def _by_parameter(
    sheet: drawing.Sheet, search: Search, trials: Sequence[Trial], names: Sequence[str]
) -> None:
    rows = math.ceil(len(names) / 2)
    with sheet.picture("by_parameter", "Score by hyper-parameter", 1.9 * rows, rows, 2) as (
        picture,
        grid,
    ):
        cells = grid.ravel()
        for axes, name in zip(cells, names, strict=False):
            _panel(axes, search, trials, name)
        for axes in cells[len(names) :]:
            axes.set_visible(False)
        cells[0].figure.supylabel(text.shorter(search.objective, 30), fontsize=9.5)
        picture.caption = (
            "Each point is a completed trial; the other hyper-parameters differ as well."
        )
        picture.alt = "The score of each trial against each of: " + ", ".join(names)


def _panel(axes: Any, search: Search, trials: Sequence[Trial], name: str) -> None:
    trials = [t for t in trials if name in t.values]
    values = [t.values[name] for t in trials]
    if all(is_number(v) for v in values):
        if min(values) > 0 and max(values) / min(values) > 30:
            axes.set_xscale("log")
        _trials(axes, trials, values)
        _number_ticks(axes, values, search.space.get(name, {}).get("values"))
    else:
        choices = sorted({str(v) for v in values})
        names = [text.shorter(choice, 11) for choice in choices]
        axes.set_xticks(range(len(choices)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", labelsize=7)
        _trials(axes, trials, [choices.index(str(v)) for v in values])
    axes.set_title(text.shorter(name, 24), fontsize=8.5, color=drawing.colour("ink"))
    axes.yaxis.set_major_locator(drawing.few_ticks())


def _number_ticks(axes: Any, values: Sequence[float], choices: Any) -> None:
    """Ticks at the choices where a number was chosen from few, else round ones, whole for integers."""
    log = axes.get_xscale() == "log"
    if isinstance(choices, list) and len(choices) <= _MOST_TICKS:
        places = [c for c in choices if is_number(c) and (c > 0 or not log)]
        axes.set_xticks(places, [f"{place:.4g}" for place in places])
        axes.set_xticks([], minor=True)
    elif log:
        drawing.log_axis(axes.xaxis, narrow=True)
    elif all(isinstance(v, int) for v in values):
        axes.xaxis.set_major_locator(drawing.few_ticks(whole=True))
