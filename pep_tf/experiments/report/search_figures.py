"""The pictures of a search."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pep_tf.experiments.report import drawing, text
from pep_tf.experiments.report.search import Importance, Search, Trial
from pep_tf.numbers import is_number

_MOST_PANELS = 8
_MOST_TICKS = 8


def draw_search(
    search: Search, ranking: Importance | None, folder: pathlib.Path
) -> list[drawing.Picture]:
    """Trials and Pareto front, scores in order, importance, and scores by hyper-parameter."""
    pictures = []
    if any(t.curve for t in search.trials):
        pictures.append(_pareto(search, folder))
    complete = [t for t in search.trials if t.complete]
    if complete:
        pictures.append(_in_order(search, complete, folder))
    if ranking is not None:
        pictures.append(_importance(ranking, folder))
    if names := _varied(complete, ranking):
        pictures.append(_by_parameter(search, complete, names, folder))
    return pictures


def _pareto(search: Search, folder: pathlib.Path) -> drawing.Picture:
    with drawing.canvas(3.9) as (figure, axes):
        axes.set_xscale("log")
        front = sorted(search.pareto, key=lambda p: p["parameters"])
        tested = [p for p in front if is_number(p.get("test_auc"))]
        default, others = search.trials[0].curve, [p for t in search.trials[1:] for p in t.curve]
        blue, orange, green, pink = map(drawing.series_colour, range(4))
        hollow = {"markerfacecolor": drawing.colour("paper")}
        _points(axes, others, "o", blue, "trials as cut", alpha=0.4, markersize=4)
        _points(axes, default, "^:", pink, "the default as cut", linewidth=1)
        _points(axes, front, "D-", orange, "Pareto front as cut")
        _points(axes, tested, "s", green, "front retrained: test AUC", read="test_auc", **hollow)
        axes.margins(0.06)
        drawing.log_axis(axes.xaxis)
        axes.set_xlabel("parameters in all (log scale)")
        axes.set_ylabel("AUC")
        figure.legend(loc="outside lower left", ncols=2)
        words = "; ".join(
            f"{text.count(p['parameters'])} parameters {text.auc(as_cut(p))}" for p in front
        )
        return drawing.finish(
            figure,
            folder,
            "pareto",
            title="All trials and the Pareto front",
            caption="One point a budget: validation AUC of a ticket as it was cut. No trial has both "
            "fewer parameters and a higher one than a point of the front. Test AUC was read afterwards.",
            alt=f"Validation AUC as cut against parameters. Pareto front: {words}",
        )


def as_cut(point: Mapping[str, float]) -> float:
    """Validation AUC of a ticket before it was retrained."""
    return point.get("cut_validation_auc", point["validation_auc"])


def _points(
    axes: Any,
    points: Sequence[Mapping[str, float]],
    form: str,
    colour: str,
    label: str,
    read: str | None = None,
    **look: Any,
) -> None:
    """One series of tickets; nothing where there is none."""
    if points:
        values = [point[read] if read else as_cut(point) for point in points]
        places = [max(point["parameters"], 1) for point in points]
        axes.plot(places, values, form, color=colour, label=label, **look)


def _in_order(search: Search, trials: Sequence[Trial], folder: pathlib.Path) -> drawing.Picture:
    scores = np.array([t.score for t in trials], float)
    best = _best_so_far(search, trials)
    with drawing.canvas() as (figure, axes):
        _trials(axes, trials, range(1, len(scores) + 1), labels=True)
        axes.step(
            range(1, len(scores) + 1),
            best,
            where="post",
            color=drawing.series_colour(1),
            label="best so far",
        )
        axes.xaxis.set_major_locator(drawing.few_ticks(whole=True))
        axes.set_xlabel("completed trials, in order")
        axes.set_ylabel(text.shorter(search.objective, 30))
        figure.legend(loc="outside lower left", ncols=2)
        return drawing.finish(
            figure,
            folder,
            "scores",
            title="Score over the search",
            caption="Whether more trials would still help: a line that has been flat for long says no.",
            alt=f"{len(scores)} completed trials; the best score is {best[-1]:.4f}, reached at trial "
            f"{int(np.argmax(best == best[-1])) + 1}.",
        )


def _best_so_far(search: Search, trials: Sequence[Trial]) -> np.ndarray:
    """Of whole trials, as the search counts; of all as long as there is none."""
    sign = 1.0 if search.maximize else -1.0
    scores = sign * np.array([t.score for t in trials], float)
    if any(t.whole for t in trials):
        scores = np.where([t.whole for t in trials], scores, np.nan)
    return sign * np.fmax.accumulate(scores)


def _trials(
    axes: Any, trials: Sequence[Trial], places: Sequence[Any], labels: bool = False
) -> None:
    """A point a trial; hollow where it ended before a whole pruning."""
    for whole, label in ((True, "trial"), (False, "ended early")):
        pairs = [(x, t.score) for x, t in zip(places, trials, strict=True) if t.whole == whole]
        if pairs:
            axes.plot(
                *zip(*pairs, strict=True),
                "o",
                color=drawing.series_colour(0),
                markerfacecolor=drawing.series_colour(0) if whole else drawing.colour("paper"),
                alpha=0.6,
                markersize=4,
                label=label if labels else None,
            )


def _importance(ranking: Importance, folder: pathlib.Path) -> drawing.Picture:
    names = [text.shorter(n, 26) for n in ranking.names[:_MOST_PANELS]]
    with drawing.canvas(1.2 + 0.32 * len(names)) as (figure, axes):
        place = np.arange(len(names))
        axes.barh(place, ranking.drop[: len(names)], color=drawing.series_colour(0), height=0.6)
        axes.errorbar(
            ranking.drop[: len(names)],
            place,
            xerr=ranking.spread[: len(names)],
            fmt="none",
            color=drawing.colour("ink"),
            elinewidth=1,
            capsize=2.5,
        )
        axes.set_yticks(place, names)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("fall of R² when the values are shuffled")
        trust = (
            "Bars that overlap leave the order open."
            if ranking.r2 > 0.5
            else "That is low: the order says little."
        )
        return drawing.finish(
            figure,
            folder,
            "importance",
            title="Which hyper-parameters mattered",
            caption="Permutation importance of a random forest on trials it was not fitted to; bars: "
            f"standard deviation. The forest's R² there is {ranking.r2:.2f}. {trust}",
            alt="Permutation importance: "
            + "; ".join(f"{n} {d:.3f}" for n, d in zip(names, ranking.drop, strict=False)),
            columns=("hyper-parameter", "fall of R²", "Spearman's ρ with the score"),
            cells=[
                (text.clean(n), f"{d:.3f}", "-" if r is None else f"{r:+.2f}")
                for n, d, r in zip(ranking.names, ranking.drop, ranking.rho, strict=True)
            ],
        )


def _by_parameter(
    search: Search, trials: Sequence[Trial], names: Sequence[str], folder: pathlib.Path
) -> drawing.Picture:
    rows = math.ceil(len(names) / 2)
    with drawing.canvas(1.9 * rows, rows, 2) as (figure, grid):
        cells = np.atleast_1d(grid).ravel()
        for axes, name in zip(cells, names, strict=False):
            _panel(axes, search, trials, name)
        for axes in cells[len(names) :]:
            axes.set_visible(False)
        figure.supylabel(text.shorter(search.objective, 30), fontsize=9.5)
        return drawing.finish(
            figure,
            folder,
            "by_parameter",
            title="Score by hyper-parameter",
            caption="Each point is a completed trial; the other hyper-parameters differ as well.",
            alt="The score of each trial against each of: " + ", ".join(names),
        )


def _panel(axes: Any, search: Search, trials: Sequence[Trial], name: str) -> None:
    trials = [t for t in trials if name in t.values]
    values = [t.values[name] for t in trials]
    numeric = all(is_number(v) for v in values)
    if numeric:
        places: Any = values
        if min(values) > 0 and max(values) / min(values) > 30:
            axes.set_xscale("log")
    else:
        choices = sorted({str(v) for v in values})
        places = [choices.index(str(v)) for v in values]
        names = [text.shorter(choice, 11) for choice in choices]
        axes.set_xticks(range(len(choices)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", labelsize=7)
    _trials(axes, trials, places)
    if numeric:
        _number_ticks(axes, values, search.space.get(name, {}).get("values"))
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


def _varied(trials: Sequence[Trial], ranking: Importance | None) -> list[str]:
    """Hyper-parameters with more than one value, the most important first."""
    names = ranking.names if ranking else sorted({n for t in trials for n in t.values})
    return [n for n in names if len({str(t.values.get(n)) for t in trials}) > 1][:_MOST_PANELS]
