"""What happened over the steps: non-zeros, thresholds, loss and validation AUC."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf.experiments.report import drawing, text
from pep_tf.experiments.report.reading import History

_MOST_POINTS = 300  # of a line; more cannot be seen
_DASHES: tuple[Any, ...] = (":", "--", (0, (6, 1.5, 1.5, 1.5, 1.5, 1.5)), (0, (1, 4)))


def draw_curves(
    histories: Sequence[History], budgets: Sequence[int], folder: pathlib.Path
) -> list[drawing.Picture]:
    """The pictures that the histories allow; one thin line a seed.

    Args:
        histories: one a seed: checks by stage.
        budgets: entries of the tickets, drawn as levels under the non-zeros.
        folder: for the PNG files.
    """
    prunings = [h["prune"] for h in histories if h.get("prune")]
    pictures = []
    if any("nnz" in check for checks in prunings for check in checks):
        pictures.append(_nonzeros(prunings, budgets, folder))
    if any("threshold" in check for checks in prunings for check in checks):
        pictures.append(_thresholds(prunings, folder))
    pictures += [
        picture
        for picture in (
            _stages(histories, "loss", "training loss (nats)", "Training loss", folder),
            _stages(histories, "validation_auc", "validation AUC", "Validation AUC", folder),
        )
        if picture is not None
    ]
    return pictures


def _nonzeros(
    prunings: Sequence[list[dict[str, float]]], budgets: Sequence[int], folder: pathlib.Path
) -> drawing.Picture:
    with drawing.canvas() as (figure, axes):
        axes.set_yscale("log")
        for checks in prunings:
            steps, values = _line(checks, "nnz")
            axes.plot(steps, np.maximum(values, 1), color=drawing.series_colour(0))
        for index, budget in enumerate(sorted(budgets, reverse=True)):
            colour = drawing.ticket_colour(index, len(budgets))
            axes.axhline(max(budget, 1), color=colour, linestyle="--", linewidth=1)
            axes.annotate(
                text.count(budget),
                (1, max(budget, 1)),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                xytext=(3, 0),
                va="center",
                fontsize=8,
                color=drawing.colour("ink"),
            )
        drawing.log_axis(axes.yaxis)
        _step_axis(axes)
        axes.set_ylabel("non-zeros of the table (log scale)")
        steps, values = _line(prunings[0], "nnz")
        return drawing.finish(
            figure,
            folder,
            "nonzeros",
            title="Non-zeros while pruning",
            caption="Dashed: the budgets. A ticket is cut where the line first falls below its budget.",
            alt=f"The non-zeros go from {text.count(values[0])} to {text.count(values[-1])} in "
            f"{text.count(steps[-1])} steps; budgets: {', '.join(map(text.count, budgets))}.",
        )


def _thresholds(
    prunings: Sequence[list[dict[str, float]]], folder: pathlib.Path
) -> drawing.Picture:
    banded = False
    with drawing.canvas() as (figure, axes):
        for checks in prunings:
            steps, values = _line(checks, "threshold")
            axes.plot(steps, values, color=drawing.series_colour(0))
            _, low = _line(checks, "threshold_low")
            _, high = _line(checks, "threshold_high")
            if len(low) == len(high) == len(steps):
                banded = True
                axes.fill_between(
                    steps, low, high, color=drawing.series_colour(0), alpha=0.2, linewidth=0
                )
        _step_axis(axes)
        axes.set_ylabel("threshold s")
        steps, values = _line(prunings[0], "threshold")
        band = " Band: 10th to 90th percentile." if banded else ""
        return drawing.finish(
            figure,
            folder,
            "thresholds",
            title="Thresholds while pruning",
            caption=f"Mean of s. An entry becomes zero where |V| is below sigmoid(s).{band}",
            alt=f"The mean threshold goes from {values[0]:.2f} to {values[-1]:.2f} in "
            f"{text.count(steps[-1])} steps.",
        )


def _stages(
    histories: Sequence[History], what: str, label: str, title: str, folder: pathlib.Path
) -> drawing.Picture | None:
    """One line a stage."""
    stages = sorted({stage for history in histories for stage in history}, key=_order)
    tickets = [stage for stage in stages if stage.startswith("ticket_")]
    uniform = [stage for stage in stages if stage not in (*tickets, "baseline", "prune")]
    words = []
    with drawing.canvas(3.9) as (figure, axes):
        for stage in stages:
            look = _look(stage, tickets, uniform)
            label_once: dict[str, Any] = {"label": _named(stage)}
            for history in histories:
                steps, values = _line(history.get(stage, []), what)
                if not len(steps):
                    continue
                axes.plot(steps, values, **look, **label_once)
                if label_once:
                    words.append(f"{_named(stage)}: {values[0]:.4g} to {values[-1]:.4g}")
                label_once = {}
        if not words:
            return None
        _step_axis(axes)
        axes.set_ylabel(label)
        figure.legend(loc="outside lower left", ncols=3)
        return drawing.finish(
            figure,
            folder,
            what,
            title=title,
            caption="Each stage from its own first step on."
            + (" One line a seed." if len(histories) > 1 else ""),
            alt=f"{title} over the steps of each stage, first and last value. " + "; ".join(words),
        )


def _order(stage: str) -> tuple[int, float]:
    """The order in which stages run."""
    kind, _, number = stage.rpartition("_")
    size = float(number) if number.isdecimal() and len(number) < 20 else 0.0
    return {"baseline": 0, "uniform": 1, "prune": 2}.get(kind or stage, 3), -size


def _look(stage: str, tickets: list[str], uniform: list[str]) -> dict[str, Any]:
    if stage in tickets:
        return {
            "color": drawing.ticket_colour(tickets.index(stage), len(tickets)),
            "linewidth": 1.4,
        }
    if stage == "prune":
        return {"color": drawing.colour("muted"), "linestyle": "-.", "linewidth": 1.2}
    style = "-" if stage == "baseline" else _DASHES[uniform.index(stage) % len(_DASHES)]
    return {"color": drawing.series_colour(1), "linestyle": style, "linewidth": 1.4}


def _named(stage: str) -> str:
    """ticket_13212 as `ticket 13,212`, uniform_16 as `uniform d = 16`."""
    kind, _, number = stage.rpartition("_")
    if kind == "uniform":
        return f"uniform d = {number}"
    if number.isdecimal() and len(number) < 20:
        return f"{kind} {int(number):,}"
    return text.shorter(stage)


def _line(checks: Sequence[dict[str, float]], what: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, thinned out to what can be seen; each point is the mean of those it stands for."""
    pairs = [(c["step"], c[what]) for c in checks if what in c]
    values = np.array(pairs, float).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) > _MOST_POINTS:
        values = np.array([part.mean(axis=0) for part in np.array_split(values, _MOST_POINTS)])
    return values[:, 0], values[:, 1]


def _step_axis(axes: Any) -> None:
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(drawing.few_ticks(whole=True))
    axes.xaxis.set_major_formatter(drawing.short)
