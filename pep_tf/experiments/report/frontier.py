"""The frontier: test AUC against what is kept, tickets and uniform tables side by side."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.transforms import Bbox

from pep_tf.experiments import text
from pep_tf.experiments.report import drawing
from pep_tf.experiments.summary import Line

Runs = Sequence[tuple[str, Sequence[Line]]]

_UNIFORM = drawing.series_colour(1)


class _Cost(NamedTuple):
    """What a frontier is drawn against: an attribute of `Row`, how it is shown, and the axis's label."""

    what: str
    form: Callable[[float], str]
    label: str


class _Point(NamedTuple):
    """A table at its cost, at least 1 as a log scale has no 0, and its test AUC."""

    line: Line
    x: float
    y: float


def plot_frontiers(sheet: drawing.Sheet, runs: Runs) -> None:
    """Against numbers kept, and against bytes: of the exports, or computed where a run has none."""
    labels = "" if len(runs) > 1 else " Labels: share of the table that is kept."
    kept = _Cost("nnz", text.short, "numbers kept in the table (log scale)")
    caption = f"Up and to the left is better.{labels}"
    _plot(sheet, "frontier", "Test AUC against numbers kept", runs, kept, caption)
    if all(any(t.mean("export_bytes") for t in lines if not t.uniform) for _, lines in runs):
        what, how = "export_bytes", "of the exported model"
        caption = "All files of the exported SavedModel: values, indices, first-order weights, tower and graph."
    else:
        what, how = "bytes", "when stored, computed"
        caption = (
            "Computed, as not every table here has an export: float32 values, the cheaper of bitmap and "
            "32-bit indices, first-order weights and tower."
        )
    stored = _Cost(what, text.short_bytes, f"bytes {how} (log scale)")
    _plot(sheet, "frontier_bytes", "Test AUC against bytes", runs, stored, caption)


def _plot(
    sheet: drawing.Sheet, name: str, title: str, runs: Runs, cost: _Cost, caption: str
) -> None:
    """Draws all runs into a picture; nothing where no run has a point."""
    several, words = len(runs) > 1, []
    with sheet.picture(name, title, 3.5 + (0.34 * len(runs) if several else 0)) as (picture, axes):
        axes.set_xscale("log")
        for index, (run, lines) in enumerate(runs):
            uniform = _points([line for line in lines if line.uniform], cost)
            tickets = _points([line for line in lines if not line.uniform], cost)
            as_cut = bool(tickets) and all(t.line.rows[0].stage == "pruned" for t in tickets)
            kind = "tickets as cut" if as_cut else "tickets"
            own = drawing.series_colour(index)
            other, face = (own, drawing.colour("paper")) if several else (_UNIFORM, "")
            before = f"{text.shorter(run, 28)}: " if several else ""
            marker = drawing.MARKERS[index % len(drawing.MARKERS)]
            _series(axes, uniform, other, "s", f"{before}uniform tables", face)
            _series(axes, tickets, own, marker, before + kind)
            for point in uniform:
                if point.line.baseline and not several:
                    # Below the labels, which have a ground of their own.
                    axes.axhline(point.y, color=other, linestyle=":", linewidth=1, zorder=1.2)
            words += [
                f"{run}, {line.label}: {text.auc(y)} at {cost.form(x)}"
                for line, x, y in (*uniform, *tickets)
            ]
        if not words:
            return
        axes.margins(x=0.16, y=0.16)  # room for the names of the outer points
        axes.autoscale_view()
        if not several:
            _name_points(axes, tickets, uniform)
        drawing.log_axis(axes.xaxis, cost.form)
        axes.set(xlabel=cost.label, ylabel="test AUC")
        if several:
            drawing.legend(axes, 1)
        else:
            marks = axes.transData + axes.transAxes.inverted()
            places = [marks.transform(point[1:]) for point in (*tickets, *uniform)]
            taken = any(x > 0.55 and y < 0.25 for x, y in places)
            axes.legend(loc="best" if taken else "lower right")
        seeds = max(len(line.rows) for _, lines in runs for line in lines)
        bars = f" Bars: standard deviation over {seeds} seeds; small dots: each seed."
        picture.caption = caption + (bars if seeds > 1 else "")
        picture.alt = f"{picture.title}. " + "; ".join(words)


def _points(lines: Sequence[Line], cost: _Cost) -> list[_Point]:
    found = ((line, line.mean(cost.what), line.mean("test_auc")) for line in lines)
    return [_Point(line, max(x, 1), y) for line, x, y in found if x is not None and y is not None]


def _series(
    axes: Any, points: Sequence[_Point], colour: str, marker: str, label: str, face: str = ""
) -> None:
    """A curve with error bars, and a small dot for each seed; `face` fills its markers."""
    if not points:
        return
    points = sorted(points, key=lambda point: point.x)
    uniform, many = points[0].line.uniform, any(len(p.line.rows) > 1 for p in points)
    axes.errorbar(
        [p.x for p in points],
        [p.y for p in points],
        yerr=[p.line.spread("test_auc") or 0.0 for p in points],
        color=colour,
        marker=marker,
        markerfacecolor=face or colour,
        linestyle="--" if uniform else "-",
        linewidth=1.0 if uniform else 1.6,
        elinewidth=1.0,
        capsize=2.5 if many else 0,
        label=label,
    )
    for line, x, _ in points:
        if len(line.rows) > 1:
            each = line.values("test_auc")
            axes.plot([x] * len(each), each, ".", color=colour, markersize=2.5)


def _name_points(axes: Any, tickets: Sequence[_Point], uniform: Sequence[_Point]) -> None:
    """Names each point on the side where the other curve is not, or where there is room."""
    marks = axes.transData.transform([(x, y) for _, x, y in (*tickets, *uniform)])
    pixel = axes.figure.dpi / 72  # of a point of the font
    taken = [Bbox.from_bounds(x, y, 0, 0).padded(3 * pixel) for x, y in marks]
    for (line, x, y), (left, bottom) in zip((*tickets, *uniform), marks, strict=True):
        row, higher = line.rows[0], not line.uniform
        curve = sorted((x, y) for _, x, y in (tickets if line.uniform else uniform))
        if len(curve) > 1 and curve[0][0] <= x <= curve[-1][0]:
            places, heights = zip(*curve, strict=True)
            higher = y >= float(np.interp(math.log(x), np.log(places), heights))
        width = "" if row.embedding_dim is None else f"d = {row.embedding_dim}"
        name = width if line.uniform else text.percent(row.fraction)
        room = 3 if len(line.rows) > 1 else 0
        above, below = ((-4, 4 + room), (4, 4 + room)), ((4, -11 - room), (-4, -11 - room))
        sides = (*above, *below) if higher else (*below, *above)
        boxes = [
            Bbox.from_bounds(
                left + pixel * (dx - (dx < 0) * wide), bottom + pixel * dy, pixel * wide, 8 * pixel
            )
            for wide in [5 * len(name)]
            for dx, dy in sides
        ]
        free = (
            side
            for side, box in enumerate(boxes)
            if axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and not box.count_overlaps(taken)
        )
        side = next(free, 0)
        taken.append(boxes[side])
        label = axes.annotate(
            name,
            (x, y),
            textcoords="offset points",
            xytext=sides[side],
            ha="right" if sides[side][0] < 0 else "left",
            fontsize=8.5,
            color=_UNIFORM if line.uniform else drawing.colour("ink"),
            bbox={"facecolor": drawing.colour("paper"), "edgecolor": "none", "pad": 0.3},
            zorder=1.5,
        )
        label.set_in_layout(False)  # else it would take room from the axes
