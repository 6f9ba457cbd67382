"""What happened over the steps: non-zeros, thresholds, loss and validation AUC."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf.experiments import text
from pep_tf.experiments.report import drawing
from pep_tf.experiments.report.reading import History

_MOST_POINTS = 300  # of a line; more cannot be seen
_DASHES: tuple[Any, ...] = (":", "--", (0, (6, 1.5, 1.5, 1.5, 1.5, 1.5)), (0, (1, 4)))
_Checks = list[dict[str, float]]


def plot_curves(sheet: drawing.Sheet, histories: Sequence[History], budgets: Sequence[int]) -> None:
    """The pictures that the histories allow, with one thin line for each seed.

    Args:
        sheet: receives them.
        histories: checks by stage, one for each seed.
        budgets: entries of the tickets, drawn as levels under the non-zeros.
    """
    prunings = [h["prune"] for h in histories if h.get("prune")]
    for what, plot in (("nnz", _nonzeros), ("threshold", _thresholds)):
        if any(what in check for checks in prunings for check in checks):
            plot(sheet, prunings, budgets)
    _stages(sheet, histories, "loss", "training loss (nats)", "Training loss")
    _stages(sheet, histories, "validation_auc", "validation AUC", "Validation AUC")


def _nonzeros(sheet: drawing.Sheet, prunings: Sequence[_Checks], budgets: Sequence[int]) -> None:
    with sheet.picture("nonzeros", "Non-zeros while pruning") as (picture, axes):
        axes.set_yscale("log")
        for steps, values in (lines := [_line(checks, "nnz") for checks in prunings]):
            axes.plot(steps, np.maximum(values, 1), color=drawing.series_colour(0))
        for index, budget in enumerate(sorted(budgets, reverse=True)):
            level, colour = max(budget, 1), drawing.ticket_colour(index, len(budgets))
            axes.axhline(level, color=colour, linestyle="--", linewidth=1)
            axes.annotate(
                text.count(budget),
                (1, level),
                xycoords=("axes fraction", "data"),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=drawing.colour("ink"),
            )
        drawing.log_axis(axes.yaxis)
        _step_axis(axes, "non-zeros of the table (log scale)")
        steps, values = lines[0]
        picture.caption = (
            "Dashed: the budgets. A ticket is cut where the line first falls below its budget."
        )
        picture.alt = (
            f"The non-zeros go from {text.count(values[0])} to {text.count(values[-1])} in "
            f"{text.count(steps[-1])} steps; budgets: {', '.join(map(text.count, budgets))}."
        )


def _thresholds(sheet: drawing.Sheet, prunings: Sequence[_Checks], _: Sequence[int]) -> None:
    with sheet.picture("thresholds", "Thresholds while pruning") as (picture, axes):
        band, colour = "", drawing.series_colour(0)
        for checks in prunings:
            steps, values = _line(checks, "threshold")
            axes.plot(steps, values, color=colour)
            low, high = (_line(checks, f"threshold_{side}")[1] for side in ("low", "high"))
            if len(low) == len(high) == len(steps):
                band = " Band: 10th to 90th percentile."
                axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        _step_axis(axes, "threshold s")
        steps, values = _line(prunings[0], "threshold")
        picture.caption = f"Mean of s. An entry becomes zero where |V| is below sigmoid(s).{band}"
        picture.alt = (
            f"The mean threshold goes from {values[0]:.2f} to {values[-1]:.2f} in "
            f"{text.count(steps[-1])} steps."
        )


def _stages(
    sheet: drawing.Sheet, histories: Sequence[History], what: str, label: str, title: str
) -> None:
    """One colour for each stage."""
    stages = sorted(dict.fromkeys(stage for history in histories for stage in history), key=_order)
    words = []
    with sheet.picture(what, title, 3.9) as (picture, axes):
        for stage in stages:
            curves = [_line(history.get(stage, []), what) for history in histories]
            curves = [(steps, values) for steps, values in curves if len(steps)]
            name, look = _named(stage), _look(stage, stages)
            for index, (steps, values) in enumerate(curves):
                axes.plot(steps, values, **look, label=None if index else name)
            words += [f"{name}: {values[0]:.4g} to {values[-1]:.4g}" for _, values in curves[:1]]
        if not words:
            return
        _step_axis(axes, label)
        drawing.legend(axes, 3)
        each = " One line per seed." if len(histories) > 1 else ""
        picture.caption = f"Each stage from its own first step on.{each}"
        picture.alt = f"{title} over the steps of each stage, first and last value. " + "; ".join(
            words
        )


def _order(stage: str) -> tuple[int, float]:
    """The order in which stages run."""
    kind, _, size = stage.rpartition("_")
    place = {"baseline": 0, "uniform": 1, "prune": 2}.get(kind or stage, 3)
    return place, -float(size) if _is_count(size) else 0.0


def _look(stage: str, stages: Sequence[str]) -> dict[str, Any]:
    tickets = [stage for stage in stages if stage.startswith("ticket_")]
    if stage in tickets:
        colour = drawing.ticket_colour(tickets.index(stage), len(tickets))
        return {"color": colour, "linewidth": 1.4}
    if stage == "prune":
        return {"color": drawing.colour("muted"), "linestyle": "-.", "linewidth": 1.2}
    uniform = [stage for stage in stages if stage not in (*tickets, "baseline", "prune")]
    style = "-" if stage == "baseline" else _DASHES[uniform.index(stage) % len(_DASHES)]
    return {"color": drawing.series_colour(1), "linestyle": style, "linewidth": 1.4}


def _named(stage: str) -> str:
    """ticket_13212 as `ticket 13,212`, uniform_16 as `uniform d = 16`."""
    kind, _, number = stage.rpartition("_")
    if kind == "uniform":
        return f"uniform d = {number}"
    return f"{kind} {int(number):,}" if _is_count(number) else text.shorter(stage)


def _is_count(number: str) -> bool:
    return number.isdecimal() and len(number) < 20


def _line(checks: Sequence[dict[str, float]], what: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values; if there are more than can be seen, means of as many groups of them."""
    pairs = [(c["step"], c[what]) for c in checks if what in c]
    values = np.array(pairs, float).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) > _MOST_POINTS:
        values = np.array([part.mean(axis=0) for part in np.array_split(values, _MOST_POINTS)])
    return values[:, 0], values[:, 1]


def _step_axis(axes: Any, label: str) -> None:
    axes.set(xlabel="step", ylabel=label)
    axes.xaxis.set_major_locator(drawing.few_ticks(whole=True))
    axes.xaxis.set_major_formatter(text.short)
