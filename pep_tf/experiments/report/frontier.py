"""The frontier: test AUC against what is kept, tickets and uniform tables side by side."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

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
        else "No exported models to measure: float32 values, the cheaper of bitmap and 32-bit indices, "
        "first-order weights and tower, as computed."
    )
    pictures = [
        _draw(
            runs,
            folder,
            _NUMBERS,
            title="Test AUC against numbers kept",
            caption="Up and to the left is better. Labels: share of the table that is kept.",
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
                _label_shares(axes, tickets, what)
                _label_widths(axes, uniform, what)
                _baseline_level(axes, uniform)
            words += [_in_words(run, line, what, form) for line in (*uniform, *tickets)]
        if not words:
            return None
        axes.margins(x=0.08, y=0.16)
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


def _label_shares(axes: Any, tickets: Sequence[Line], what: str) -> None:
    for line in tickets:
        axes.annotate(
            text.percent(line.rows[0].fraction),
            (_place(line, what), line.mean("test_auc")),
            textcoords="offset points",
            xytext=(0, 7 if len(line.rows) == 1 else 11),
            ha="center",
            fontsize=8.5,
            color=drawing.colour("ink"),
        )


def _label_widths(axes: Any, uniform: Sequence[Line], what: str) -> None:
    for line in uniform:
        if line.rows[0].embedding_dim is not None:
            axes.annotate(
                f"d = {line.rows[0].embedding_dim}",
                (_place(line, what), line.mean("test_auc")),
                textcoords="offset points",
                xytext=(0, -15),
                ha="center",
                fontsize=8.5,
                color=drawing.series_colour(1),
            )


def _baseline_level(axes: Any, uniform: Sequence[Line]) -> None:
    for line in uniform:
        if line.baseline:
            axes.axhline(
                line.mean("test_auc"), color=drawing.series_colour(1), linestyle=":", linewidth=1
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
