"""The frontier: test AUC against what is kept, tickets and uniform tables side by side."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf.experiments.report import drawing, text
from pep_tf.experiments.report.summary import Line

Runs = Sequence[tuple[str, Sequence[Line]]]

_NUMBERS = ("frontier", "nnz", "numbers kept in the table (log scale)", drawing.short)
_EXPORTED = (
    "frontier_bytes",
    "export_bytes",
    "bytes of the exported model (log scale)",
    drawing.short_bytes,
)
_COMPUTED = (
    "frontier_bytes",
    "bytes",
    "bytes when stored, computed (log scale)",
    drawing.short_bytes,
)


def draw_frontiers(runs: Runs, folder: pathlib.Path) -> list[drawing.Picture]:
    """Against numbers kept, and against bytes: of the exports, or computed where a run has none."""
    exported = all(any(t.mean("export_bytes") for t in lines if not t.uniform) for _, lines in runs)
    bytes_caption = (
        "All files of the exported SavedModel: values, indices, first-order weights, tower and graph."
        if exported
        else "Computed, as not every table here has an export: float32 values, the cheaper of bitmap and "
        "32-bit indices, first-order weights and tower."
    )
    pictures = [
        _draw(
            runs,
            folder,
            _NUMBERS,
            title="Test AUC against numbers kept",
            caption="Up and to the left is better."
            + ("" if len(runs) > 1 else " Labels: share of the table that is kept."),
        ),
        _draw(
            runs,
            folder,
            _EXPORTED if exported else _COMPUTED,
            title="Test AUC against bytes",
            caption=bytes_caption,
        ),
    ]
    return [picture for picture in pictures if picture is not None]


def _draw(
    runs: Runs, folder: pathlib.Path, axis: tuple[str, str, str, Any], title: str, caption: str
) -> drawing.Picture | None:
    name, what, label, form = axis
    several = len(runs) > 1
    words = []
    with drawing.canvas(3.5 + 0.17 * (2 * len(runs) if several else 0)) as (figure, axes):
        axes.set_xscale("log")
        for index, (run, lines) in enumerate(runs):
            tickets = [t for t in lines if not t.uniform and _place(t, what)]
            uniform = [u for u in lines if u.uniform and _place(u, what)]
            own = drawing.series_colour(index)
            other = own if several else drawing.series_colour(1)
            before = f"{text.shorter(run, 28)}: " if several else ""
            _series(axes, uniform, what, other, "s", "--", f"{before}uniform tables", several)
            kind = "tickets as cut" if _as_cut(tickets) else "tickets"
            marker = drawing.MARKERS[index % len(drawing.MARKERS)] if several else "o"
            _series(axes, tickets, what, own, marker, "-", f"{before}{kind}", False)
            if not several:
                _label(axes, tickets, uniform, what, True, drawing.colour("ink"))
                _label(axes, uniform, tickets, what, False, drawing.series_colour(1))
                _baseline_level(axes, uniform)
            words += [_in_words(run, line, what, form) for line in (*uniform, *tickets)]
        if not words:
            return None
        axes.margins(x=0.16, y=0.16)  # room for the names of the outer points
        axes.autoscale_view()
        drawing.log_axis(axes.xaxis, form)
        axes.set_xlabel(label)
        axes.set_ylabel("test AUC")
        if several:
            figure.legend(loc="outside lower left", ncols=1)
        else:
            axes.legend(loc="lower right")
        seeds = max(len(line.rows) for _, lines in runs for line in lines)
        if seeds > 1:
            caption += f" Bars: standard deviation over {seeds} seeds; small dots: each seed."
        return drawing.finish(
            figure, folder, name, title=title, caption=caption, alt=f"{title}. " + "; ".join(words)
        )


def _series(
    axes: Any,
    lines: Sequence[Line],
    what: str,
    colour: str,
    marker: str,
    style: str,
    label: str,
    hollow: bool,
) -> None:
    if not lines:
        return
    lines = sorted(lines, key=lambda line: _place(line, what) or 0)
    axes.errorbar(
        [_place(line, what) for line in lines],
        [line.mean("test_auc") for line in lines],
        yerr=[line.spread("test_auc") or 0.0 for line in lines],
        color=colour,
        marker=marker,
        markerfacecolor=drawing.colour("paper") if hollow else colour,
        linestyle=style,
        linewidth=1.0 if style == "--" else 1.6,
        elinewidth=1.0,
        capsize=2.5 if any(len(line.rows) > 1 for line in lines) else 0,
        label=label,
    )
    for line in lines:
        if len(line.rows) > 1:
            each = line.values("test_auc")
            axes.plot([_place(line, what)] * len(each), each, ".", color=colour, markersize=2.5)


def _label(
    axes: Any,
    lines: Sequence[Line],
    others: Sequence[Line],
    what: str,
    prefer_above: bool,
    ink: str,
) -> None:
    """Names each point, on the side where the other curve is not."""
    for line in lines:
        x, y = _place(line, what), line.mean("test_auc")
        assert x is not None
        assert y is not None
        level = _level(others, what, x)
        above = prefer_above if level is None else y >= level
        room = 3 if len(line.rows) > 1 else 0
        label = axes.annotate(
            _point_name(line),
            (x, y),
            textcoords="offset points",
            xytext=(-4, 4 + room) if above else (4, -11 - room),
            ha="right" if above else "left",
            fontsize=8.5,
            color=ink,
            bbox={"facecolor": drawing.colour("paper"), "edgecolor": "none", "pad": 0.3},
            zorder=1.5,
        )
        label.set_in_layout(False)  # else it would take room from the axes


def _point_name(line: Line) -> str:
    row = line.rows[0]
    if not line.uniform:
        return text.percent(row.fraction)
    return "" if row.embedding_dim is None else f"d = {row.embedding_dim}"


def _level(lines: Sequence[Line], what: str, x: float) -> float | None:
    """Height of a curve at x; None where it does not reach."""
    points = sorted((_place(line, what) or 1.0, line.mean("test_auc") or 0.0) for line in lines)
    if len(points) < 2 or not points[0][0] <= x <= points[-1][0]:
        return None
    places, heights = zip(*points, strict=True)
    return float(np.interp(math.log(x), np.log(places), heights))


def _baseline_level(axes: Any, uniform: Sequence[Line]) -> None:
    for line in uniform:
        if line.baseline:
            axes.axhline(
                line.mean("test_auc"),
                color=drawing.series_colour(1),
                linestyle=":",
                linewidth=1,
                zorder=1.2,  # below the labels, which have a ground of their own
            )


def _place(line: Line, what: str) -> float | None:
    """Where a line stands on the x axis; a log scale has no 0. None without x or without y."""
    x, y = line.mean(what), line.mean("test_auc")
    return None if x is None or y is None or not math.isfinite(x) else max(x, 1.0)


def _as_cut(tickets: Sequence[Line]) -> bool:
    return bool(tickets) and all(t.rows[0].stage == "pruned" for t in tickets)


def _in_words(run: str, line: Line, what: str, form: Any) -> str:
    return (
        f"{run}, {line.label}: {text.auc(line.mean('test_auc'))} at {form(_place(line, what) or 0)}"
    )
