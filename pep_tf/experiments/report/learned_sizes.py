"""Learned embedding sizes by field and by frequency, and the mask as a heat map."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pep_tf.experiments import text
from pep_tf.experiments.report import drawing
from pep_tf.experiments.report.parts import Cell, number
from pep_tf.experiments.report.sizes import Groups, Sizes, TicketSizes

_MOST_GROUPS = 60  # fields drawn; more would not be readable
_TICKS = [0, 0.01, 0.04, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def plot_sizes(sheet: drawing.Sheet, sizes: Sizes, chosen: int | None) -> None:
    """The pictures that a run's masks allow.

    Args:
        sheet: receives them.
        sizes: of one run, largest budget first.
        chosen: budget whose mask is drawn; None or an unknown one: the middle ticket.
    """
    budgets = [t.budget for t in sizes.tickets]
    index = budgets.index(chosen) if chosen in budgets else len(budgets) // 2
    one = sizes.tickets[index]
    # Colour and marker of each ticket: each alone tells it apart.
    looks = [
        {
            "label": text.percent(_share(sizes.fields, ticket.by_field)),
            "color": drawing.ticket_colour(index, len(budgets)),
            "marker": drawing.MARKERS[index % len(drawing.MARKERS)],
        }
        for index, ticket in enumerate(sizes.tickets)
    ]
    _by_field(sheet, sizes, looks)
    if sizes.bins is not None and one.by_frequency is not None:
        _by_frequency(sheet, sizes, sizes.bins, looks)
        where = "occurrences in training"
        _mask(sheet, one, one.by_frequency, sizes.bins, "frequency", where)
    _mask(sheet, one, one.by_field, sizes.fields, "field", "field")


def _by_field(sheet: drawing.Sheet, sizes: Sizes, looks: list[dict[str, Any]]) -> None:
    names = [text.shorter(name) for name in sizes.fields.names[:_MOST_GROUPS]]
    means = [t.by_field.sum(axis=1)[:_MOST_GROUPS] for t in sizes.tickets]
    place = np.arange(len(names))
    height = 1.3 + 0.24 * len(names) + 0.12 * len(means)
    title = "Learned embedding size by field"
    with sheet.picture("sizes_by_field", title, height) as (picture, axes):
        for look, mean in zip(looks, means, strict=True):
            axes.plot(mean, place, linestyle="none", **look)
        axes.set_yticks(place, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="y", linewidth=0.5)
        _size_axis(axes, "x", means)
        axes.set_xlabel("mean numbers kept per feature")
        emptied = [
            f"{names[field]} at {look['label']}"
            for look, mean in zip(looks, means, strict=True)
            for field in np.flatnonzero(mean == 0)
        ]
        picture.caption = (
            f"How many of the {sizes.tickets[0].dim} numbers of a feature stay, on average over the "
            "field; square-root scale."
        )
        if emptied:
            picture.caption += f" Nothing is kept in: {text.clean(', '.join(emptied))}."
        if more := len(sizes.fields.names) - len(names):
            picture.caption += f" The first {len(names)} fields; {more} more are not drawn."
        _describe(picture, axes, looks, "field", names, sizes.fields, means)


def _by_frequency(
    sheet: drawing.Sheet, sizes: Sizes, bins: Groups, looks: list[dict[str, Any]]
) -> None:
    unknown = np.full((len(bins.names), 1), np.nan)
    shares = (unknown if t.by_frequency is None else t.by_frequency for t in sizes.tickets)
    means = [share.sum(axis=1) for share in shares]
    drawn = np.flatnonzero(bins.features > 0)
    title = "Learned embedding size by frequency"
    with sheet.picture("sizes_by_frequency", title, 3.8) as (picture, axes):
        for look, mean in zip(looks, means, strict=True):
            axes.plot(drawn, mean[drawn], **look)
        axes.set_xticks(np.arange(len(bins.names)), bins.names, rotation=40, ha="right")
        _size_axis(axes, "y", means)
        where = "occurrences of a feature in the training rows"
        axes.set(xlabel=where, ylabel="mean numbers kept")
        picture.caption = "Features grouped by how often they occur in training; square-root scale."
        _describe(picture, axes, looks, "occurrences", bins.names, bins, means)


def _describe(
    picture: drawing.Picture,
    axes: Any,
    looks: list[dict[str, Any]],
    group: str,
    names: Sequence[str],
    groups: Groups,
    means: list[np.ndarray],
) -> None:
    """Legend, table and words of a figure of mean sizes."""
    drawing.legend(axes, 3, title="share of the table kept", alignment="left")
    labels, words = [look["label"] for look in looks], []
    for label, mean in zip(labels, means, strict=True):
        if np.isfinite(mean).any():
            low, high = int(np.nanargmin(mean)), int(np.nanargmax(mean))
            words.append(
                f"at {label} of the table from {mean[low]:.3g} ({names[low]}) "
                f"to {mean[high]:.3g} ({names[high]})"
            )
    picture.alt = f"Mean numbers kept per feature, by {group}: " + "; ".join(words)
    shown = zip(names, groups.features, *means, strict=False)
    rows = [[name, number(text.count, int(n)), *map(_mean, own)] for name, n, *own in shown]
    picture.numbers([group, "features", *labels], rows)


def _mean(mean: float) -> Cell | str:
    return "-" if np.isnan(mean) else number("{:.3g}".format, float(mean))


def _mask(
    sheet: drawing.Sheet,
    ticket: TicketSizes,
    shares: np.ndarray,
    groups: Groups,
    kind: str,
    axis_label: str,
) -> None:
    rows = np.flatnonzero(groups.features > 0)[:_MOST_GROUPS]
    names = [text.shorter(groups.names[row]) for row in rows]
    title = f"The mask by {kind}, at {text.percent(_share(groups, shares))} kept"
    with sheet.picture(f"mask_by_{kind}", title, 1.5 + 0.2 * len(rows)) as (picture, axes):
        axes.grid(False)
        percent = 100 * shares[rows]
        look: dict[str, Any] = {"aspect": "auto", "cmap": "cividis", "interpolation": "none"}
        top = max(float(np.nanmax(percent, initial=0.0)), 1e-3)
        image = axes.imshow(percent, vmin=0, vmax=top, **look)
        axes.set_yticks(np.arange(len(rows)), names)
        axes.xaxis.set_major_locator(drawing.few_ticks(whole=True))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="dimension of the embedding", ylabel=axis_label)
        place = {"location": "top", "aspect": 40, "fraction": 0.06, "pad": 0.02}
        bar = axes.figure.colorbar(image, ax=axes, **place)
        bar.set_label("% of the group's features that keep the number")
        bar.outline.set_visible(False)
        bar.solids.set_rasterized(True)
        picture.caption = (
            f"{text.count(ticket.budget)} entries; {text.percent(ticket.emptied)} of the features "
            "keep none."
        )
        picture.alt = (
            f"Heat map of the share of features that keep each dimension. Kept in all, by {kind}: "
            + "; ".join(f"{n}: {m:.3g} %" for n, m in zip(names, percent.mean(axis=1), strict=True))
        )


def _share(groups: Groups, shares: np.ndarray) -> float:
    """Share of the table that the ticket keeps."""
    return float(np.nansum(shares.mean(axis=1) * groups.features) / groups.features.sum())


def _size_axis(axes: Any, which: str, means: list[np.ndarray]) -> None:
    """A square-root scale from 0: it has a place for fields of which nothing is kept."""
    top = max(float(np.nanmax(np.concatenate(means), initial=0.0)) * 1.1, 0.1)
    scale = {"functions": (lambda x: np.sqrt(np.maximum(x, 0)), np.square)}
    ticks = [s for s in _TICKS if s == 0 or 0.02 * top <= s <= top]
    getattr(axes, f"set_{which}scale")("function", **scale)
    axes.set(**{f"{which}lim": (-0.003 * top, top)})
    getattr(axes, f"set_{which}ticks")(ticks, [f"{tick:g}" for tick in ticks])
