"""Learned embedding sizes by field and by frequency, and the mask as a heat map."""

import pathlib
from typing import Any

import numpy as np

from pep_tf.experiments.report import drawing, text
from pep_tf.experiments.report.sizes import Groups, Sizes, TicketSizes

_MOST_GROUPS = 60  # fields drawn; more would not be readable


def draw_sizes(sizes: Sizes, chosen: int | None, folder: pathlib.Path) -> list[drawing.Picture]:
    """The pictures that a run's masks allow.

    Args:
        sizes: of one run, largest budget first.
        chosen: budget whose mask is drawn; None or an unknown one: the middle ticket.
        folder: for the PNG files.
    """
    budgets = [t.budget for t in sizes.tickets]
    index = budgets.index(chosen) if chosen in budgets else len(budgets) // 2
    one = sizes.tickets[index]
    pictures = [_by_field(sizes, folder)]
    if sizes.bins is not None and one.by_frequency is not None:
        pictures.append(_by_frequency(sizes, sizes.bins, folder))
        pictures.append(
            _mask(one, one.by_frequency, sizes.bins, "frequency", "occurrences in training", folder)
        )
    pictures.append(_mask(one, one.by_field, sizes.fields, "field", "field", folder))
    return pictures


def _by_field(sizes: Sizes, folder: pathlib.Path) -> drawing.Picture:
    names = [text.shorter(name) for name in sizes.fields.names[:_MOST_GROUPS]]
    means = [t.by_field.sum(axis=1)[:_MOST_GROUPS] for t in sizes.tickets]
    more = len(sizes.fields.names) - len(names)
    with drawing.canvas(1.3 + 0.24 * len(names) + 0.12 * len(means)) as (figure, axes):
        for index, (ticket, mean) in enumerate(zip(sizes.tickets, means, strict=True)):
            axes.plot(
                mean,
                np.arange(len(names)),
                linestyle="none",
                **_look(index, sizes),
                label=_label(ticket, sizes),
            )
        axes.set_yticks(np.arange(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="y", linewidth=0.5)
        _size_axis(axes, "x", sizes, means)
        axes.set_xlabel("mean numbers kept a feature")
        figure.legend(
            loc="outside lower left", ncols=3, title="share of the table kept", alignment="left"
        )
        emptied = [
            f"{names[f]} at {_label(t, sizes)}"
            for t, mean in zip(sizes.tickets, means, strict=True)
            for f in np.flatnonzero(mean == 0)
        ]
        caption = (
            f"How many of the {sizes.tickets[0].dim} numbers of a feature stay, on average over the "
            "field; square-root scale."
        )
        if emptied:
            caption += f" Nothing is kept in: {text.clean(', '.join(emptied))}."
        if more:
            caption += f" The first {len(names)} fields; {more} more are not drawn."
        return drawing.finish(
            figure,
            folder,
            "sizes_by_field",
            title="Learned embedding size by field",
            caption=caption,
            alt=_alt("Mean numbers kept a feature, by field", names, means, sizes),
            columns=("field", "features", *(_label(t, sizes) for t in sizes.tickets)),
            cells=_cells(names, sizes.fields, means),
        )


def _by_frequency(sizes: Sizes, bins: Groups, folder: pathlib.Path) -> drawing.Picture:
    means = [
        np.full(len(bins.names), np.nan) if t.by_frequency is None else t.by_frequency.sum(axis=1)
        for t in sizes.tickets
    ]
    drawn = np.flatnonzero(bins.features > 0)
    with drawing.canvas(3.8) as (figure, axes):
        for index, (ticket, mean) in enumerate(zip(sizes.tickets, means, strict=True)):
            axes.plot(drawn, mean[drawn], **_look(index, sizes), label=_label(ticket, sizes))
        axes.set_xticks(np.arange(len(bins.names)), bins.names, rotation=40, ha="right")
        _size_axis(axes, "y", sizes, means)
        axes.set_xlabel("occurrences of a feature in the training rows")
        axes.set_ylabel("mean numbers kept")
        figure.legend(
            loc="outside lower left", ncols=3, title="share of the table kept", alignment="left"
        )
        return drawing.finish(
            figure,
            folder,
            "sizes_by_frequency",
            title="Learned embedding size by frequency",
            caption="Features grouped by how often they occur in training; square-root scale.",
            alt=_alt("Mean numbers kept a feature, by occurrences", list(bins.names), means, sizes),
            columns=("occurrences", "features", *(_label(t, sizes) for t in sizes.tickets)),
            cells=_cells(list(bins.names), bins, means),
        )


def _mask(
    ticket: TicketSizes,
    shares: np.ndarray,
    groups: Groups,
    kind: str,
    axis_label: str,
    folder: pathlib.Path,
) -> drawing.Picture:
    rows = np.flatnonzero(groups.features > 0)[:_MOST_GROUPS]
    names = [text.shorter(groups.names[row]) for row in rows]
    with drawing.canvas(1.5 + 0.2 * len(rows)) as (figure, axes):
        axes.grid(False)
        top = max(float(np.nanmax(100 * shares[rows], initial=0.0)), 1e-3)
        image = axes.imshow(
            100 * shares[rows],
            aspect="auto",
            cmap="cividis",
            vmin=0,
            vmax=top,
            interpolation="none",
        )
        axes.set_yticks(np.arange(len(rows)), names)
        axes.xaxis.set_major_locator(drawing.few_ticks(whole=True))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("dimension of the embedding")
        axes.set_ylabel(axis_label)
        bar = figure.colorbar(image, ax=axes, location="top", aspect=40, fraction=0.06, pad=0.02)
        bar.set_label("% of the group's features that keep the number")
        bar.outline.set_visible(False)
        assert bar.solids is not None
        bar.solids.set_rasterized(True)
        share = [
            f"{name}: {100 * mean:.3g} %"
            for name, mean in zip(names, shares[rows].mean(axis=1), strict=True)
        ]
        total = _share(ticket, groups, shares)
        return drawing.finish(
            figure,
            folder,
            f"mask_by_{kind}",
            title=f"The mask by {kind}, at {text.percent(total)} kept",
            caption=f"{text.count(ticket.budget)} entries; {text.percent(ticket.emptied)} of the features "
            "keep none.",
            alt=f"Heat map of the share of features that keep each dimension. Kept in all, by {kind}: "
            + "; ".join(share),
        )


def _share(ticket: TicketSizes, groups: Groups, shares: np.ndarray) -> float:
    """Share of the table that the ticket keeps."""
    return float(np.nansum(shares.mean(axis=1) * groups.features) / groups.features.sum())


def _label(ticket: TicketSizes, sizes: Sizes) -> str:
    return text.percent(_share(ticket, sizes.fields, ticket.by_field))


def _look(index: int, sizes: Sizes) -> dict[str, Any]:
    """Colour and marker of a ticket: each alone tells it apart."""
    return {
        "color": drawing.ticket_colour(index, len(sizes.tickets)),
        "marker": drawing.MARKERS[index % len(drawing.MARKERS)],
    }


def _size_axis(axes: Any, which: str, sizes: Sizes, means: list[np.ndarray]) -> None:
    """A square-root scale from 0: it has a place for fields of which nothing is kept."""
    top = max(float(np.nanmax(np.concatenate(means), initial=0.0)) * 1.1, 0.1)
    scale = {"functions": (lambda x: np.sqrt(np.maximum(x, 0)), np.square)}
    getattr(axes, f"set_{which}scale")("function", **scale)
    getattr(axes, f"set_{which}lim")(-0.003 * top, top)
    steps = [0, 0.01, 0.04, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    ticks = [0.0] + [s for s in steps if 0.02 * top <= s <= top]
    getattr(axes, f"set_{which}ticks")(ticks, [f"{tick:g}" for tick in ticks])


def _cells(names: list[str], groups: Groups, means: list[np.ndarray]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            text.count(groups.features[i]),
            *("-" if np.isnan(m[i]) else f"{m[i]:.3g}" for m in means),
        )
        for i, name in enumerate(names)
    ]


def _alt(what: str, names: list[str], means: list[np.ndarray], sizes: Sizes) -> str:
    parts = []
    for ticket, mean in zip(sizes.tickets, means, strict=True):
        if np.isfinite(mean).any():
            low, high = int(np.nanargmin(mean)), int(np.nanargmax(mean))
            parts.append(
                f"at {_label(ticket, sizes)} of the table from {mean[low]:.3g} ({names[low]}) "
                f"to {mean[high]:.3g} ({names[high]})"
            )
    return f"{what}: " + "; ".join(parts)
