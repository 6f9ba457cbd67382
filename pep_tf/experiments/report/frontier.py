"""The frontier: test AUC against what is kept, tickets and uniform tables side by side."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pep_tf.experiments import text
from pep_tf.experiments.report import drawing
from pep_tf.experiments.summary import Line

Runs = Sequence[tuple[str, Sequence[Line]]]


def plot_frontiers(sheet: drawing.Sheet, runs: Runs) -> None:
    """Against numbers kept, and against bytes: of the exports, or computed where a run has none."""
    several = len(runs) > 1
    labels = "" if several else " Labels: share of the table that is kept."
    _Frontier("nnz", drawing.short, several).plot(
        sheet.picture("frontier", "Test AUC against numbers kept", _height(runs)),
        runs,
        "numbers kept in the table (log scale)",
        "Up and to the left is better." + labels,
    )
    exported = all(any(t.mean("export_bytes") for t in lines if not t.uniform) for _, lines in runs)
    _Frontier("export_bytes" if exported else "bytes", drawing.short_bytes, several).plot(
        sheet.picture("frontier_bytes", "Test AUC against bytes", _height(runs)),
        runs,
        f"bytes {'of the exported model' if exported else 'when stored, computed'} (log scale)",
        "All files of the exported SavedModel: values, indices, first-order weights, tower and graph."
        if exported
        else "Computed, as not every table here has an export: float32 values, the cheaper of bitmap and "
        "32-bit indices, first-order weights and tower.",
    )


def _height(runs: Runs) -> float:
    return 3.5 + (0.34 * len(runs) if len(runs) > 1 else 0)


class _Frontier:
    """Points at a cost of each table and its test AUC.

    Args:
        what: the cost, an attribute of `Row`.
        form: shows it.
        several: whether runs are compared; points of one run have labels instead of a legend entry each.
    """

    def __init__(self, what: str, form: Callable[[float], str], several: bool) -> None:
        self._what, self._form, self._several = what, form, several

    def plot(self, opened: Any, runs: Runs, label: str, caption: str) -> None:
        """Draws all runs into a picture that is opened here; nothing where no run has a point."""
        with opened as (picture, axes):
            axes.set_xscale("log")
            words = [word for i, run in enumerate(runs) for word in self._run(axes, i, *run)]
            if not words:
                return
            axes.margins(x=0.16, y=0.16)  # room for the names of the outer points
            axes.autoscale_view()
            drawing.log_axis(axes.xaxis, self._form)
            axes.set_xlabel(label)
            axes.set_ylabel("test AUC")
            if self._several:
                drawing.legend(axes, 1)
            else:
                axes.legend(loc="lower right")
            seeds = max(len(line.rows) for _, lines in runs for line in lines)
            bars = f" Bars: standard deviation over {seeds} seeds; small dots: each seed."
            picture.caption = caption + (bars if seeds > 1 else "")
            picture.alt = f"{picture.title}. " + "; ".join(words)

    def _run(self, axes: Any, index: int, run: str, lines: Sequence[Line]) -> list[str]:
        """Draws one run; returns its points in words."""
        tickets = [t for t in lines if not t.uniform and self._place(t)]
        uniform = [u for u in lines if u.uniform and self._place(u)]
        as_cut = bool(tickets) and all(t.rows[0].stage == "pruned" for t in tickets)
        kind = "tickets as cut" if as_cut else "tickets"
        own, other = drawing.series_colour(index), drawing.series_colour(1)
        if self._several:
            before, marker = (
                f"{text.shorter(run, 28)}: ",
                drawing.MARKERS[index % len(drawing.MARKERS)],
            )
            self._series(axes, uniform, own, "s", f"{before}uniform tables", hollow=True)
            self._series(axes, tickets, own, marker, before + kind)
        else:
            self._series(axes, uniform, other, "s", "uniform tables")
            self._series(axes, tickets, own, "o", kind)
            self._label(axes, tickets, uniform, drawing.colour("ink"))
            self._label(axes, uniform, tickets, other)
            for line in uniform:
                if line.baseline:  # a level below the labels, which have a ground of their own
                    level = {"linestyle": ":", "linewidth": 1, "zorder": 1.2}
                    axes.axhline(line.mean("test_auc"), color=other, **level)
        return [
            f"{run}, {line.label}: {text.auc(line.mean('test_auc'))} at {self._form(self._place(line) or 0)}"
            for line in (*uniform, *tickets)
        ]

    def _series(
        self,
        axes: Any,
        lines: Sequence[Line],
        colour: str,
        marker: str,
        label: str,
        hollow: bool = False,
    ) -> None:
        """A curve with error bars, and a small dot for each seed."""
        if not lines:
            return
        lines = sorted(lines, key=lambda line: self._place(line) or 0)
        axes.errorbar(
            [self._place(line) for line in lines],
            [line.mean("test_auc") for line in lines],
            yerr=[line.spread("test_auc") or 0.0 for line in lines],
            color=colour,
            marker=marker,
            markerfacecolor=drawing.colour("paper") if hollow else colour,
            linestyle="--" if lines[0].uniform else "-",
            linewidth=1.0 if lines[0].uniform else 1.6,
            elinewidth=1.0,
            capsize=2.5 if any(len(line.rows) > 1 for line in lines) else 0,
            label=label,
        )
        for line in lines:
            if len(line.rows) > 1:
                each = line.values("test_auc")
                axes.plot([self._place(line)] * len(each), each, ".", color=colour, markersize=2.5)

    def _label(self, axes: Any, lines: Sequence[Line], others: Sequence[Line], ink: str) -> None:
        """Names each point, on the side where the other curve is not."""
        for line in lines:
            x, y, row = self._place(line) or 1.0, line.mean("test_auc") or 0.0, line.rows[0]
            width = "" if row.embedding_dim is None else f"d = {row.embedding_dim}"
            level = self._level(others, x)
            higher = not line.uniform if level is None else y >= level
            room = 3 if len(line.rows) > 1 else 0
            label = axes.annotate(
                width if line.uniform else text.percent(row.fraction),
                (x, y),
                textcoords="offset points",
                xytext=(-4, 4 + room) if higher else (4, -11 - room),
                ha="right" if higher else "left",
                fontsize=8.5,
                color=ink,
                bbox={"facecolor": drawing.colour("paper"), "edgecolor": "none", "pad": 0.3},
                zorder=1.5,
            )
            label.set_in_layout(False)  # else it would take room from the axes

    def _level(self, lines: Sequence[Line], x: float) -> float | None:
        """Height of a curve at x; None where it does not reach."""
        points = sorted((self._place(line) or 1.0, line.mean("test_auc") or 0.0) for line in lines)
        if len(points) < 2 or not points[0][0] <= x <= points[-1][0]:
            return None
        places, heights = zip(*points, strict=True)
        return float(np.interp(math.log(x), np.log(places), heights))

    def _place(self, line: Line) -> float | None:
        """Where a line stands on the x axis; a log scale has no 0. None without x or without y."""
        x, y = line.mean(self._what), line.mean("test_auc")
        return None if x is None or y is None else max(x, 1.0)
