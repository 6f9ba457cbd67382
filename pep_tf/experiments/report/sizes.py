"""Learned embedding sizes of a run's tickets, summed up by field and by frequency."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pep_tf.data import FeatureSchema
from pep_tf.errors import PepError, TicketError
from pep_tf.experiments.feature_counts import load_feature_counts
from pep_tf.training.ticket_file import read_masks

_BIN_BASE = 4  # a bin holds features that occur base^k to base^(k+1) - 1 times
_ROWS_AT_ONCE = 1 << 18


@dataclasses.dataclass(frozen=True)
class Groups:
    """Features in groups: fields, or bins of frequency.

    Attributes:
        names: of the groups.
        features: how many features each has, int64 [G].
    """

    names: tuple[str, ...]
    features: np.ndarray


_Grouping = tuple[np.ndarray, Groups]  # the group of each feature, int64 [N], and the groups


@dataclasses.dataclass(frozen=True)
class TicketSizes:
    """What a ticket's mask keeps.

    Attributes:
        budget: its entries.
        dim: embedding dimension d before pruning.
        step, forced: when it was cut, and whether the thresholds had not got that far.
        by_field: float64 [F, d], share of the field's features that keep a dimension.
        by_frequency: the same by bins [B, d], None where frequencies are not known; NaN in bins
            without features.
        emptied: share of the features that keep nothing.
    """

    budget: int
    dim: int
    step: int
    forced: bool
    by_field: np.ndarray
    by_frequency: np.ndarray | None
    emptied: float


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The tickets of one seed, largest budget first; `bins` is None where frequencies are not known."""

    fields: Groups
    bins: Groups | None
    tickets: list[TicketSizes]


def read_sizes(folder: pathlib.Path, notes: list[str]) -> Sizes | None:
    """Sums up the masks of a run folder; None where it has no tickets.

    Time and memory grow with N x d / 8; the masks are unpacked a block of rows at a time.
    """
    masks = []
    for path in sorted((folder / "tickets").glob("ticket_*.safetensors")):
        try:
            masks.append(_read_mask(path))
        except PepError as error:
            notes.append(f"A ticket is left out: {error}")
    if not masks:
        notes.append("No tickets in the folder: learned sizes and the mask are not shown.")
        return None
    schema = masks[0].schema
    field = np.repeat(np.arange(schema.num_fields), schema.sizes)
    groupings = [(field, Groups(schema.names, np.array(schema.sizes)))]
    if (counts := _counts(folder, schema, notes)) is not None:
        groupings.append(_bins(counts))
    tickets = []
    for mask in sorted((m for m in masks if m.schema == schema), key=lambda m: -m.facts["budget"]):
        (by_field, *by_bin), emptied = _shares(mask, groupings)
        by_frequency = by_bin[0] if by_bin else None
        tickets.append(
            TicketSizes(**mask.facts, by_field=by_field, by_frequency=by_frequency, emptied=emptied)
        )
    (_, fields), *bins = groupings
    return Sizes(fields, bins[0][1] if bins else None, tickets)


def _bins(counts: np.ndarray) -> _Grouping:
    edges = [_BIN_BASE**k for k in range(32) if _BIN_BASE**k <= counts.max(initial=1)]
    group = np.digitize(counts, edges)
    features = np.bincount(group)
    return group, Groups(tuple(map(_bin_name, range(len(features)))), features)


def _counts(folder: pathlib.Path, schema: FeatureSchema, notes: list[str]) -> np.ndarray | None:
    path, why = folder / "feature_counts.safetensors", "the counts are of other fields."
    if not path.exists():
        notes.append("No feature_counts.safetensors: sizes by frequency are not shown.")
        return None
    try:
        counted, counts = load_feature_counts(path)
        if counted == schema:
            return counts
    except PepError as error:
        why = str(error)
    notes.append(f"Sizes by frequency are not shown: {why}")
    return None


class _Mask(NamedTuple):
    """The part of a ticket's file that says what is kept; `facts` are those of `TicketSizes`."""

    facts: dict[str, Any]
    bits: np.ndarray
    schema: FeatureSchema


def _read_mask(path: pathlib.Path) -> _Mask:
    tables, found = read_masks(path)
    try:
        embedding = next(iter(tables.values()))
        facts: dict[str, Any] = {name: int(found[name]) for name in ("budget", "step")}
        facts |= {"dim": embedding.dim, "forced": bool(found["forced"])}
        schema = FeatureSchema.of(found["model_config"]["config"]["fields"])
        if len(embedding.bits) != schema.num_features:
            raise ValueError(f"{len(embedding.bits)} rows for {schema.num_features} features")
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise TicketError(f"{path} is damaged: {error}") from error
    return _Mask(facts, embedding.bits, schema)


def _shares(mask: _Mask, groupings: list[_Grouping]) -> tuple[list[np.ndarray], float]:
    """Shares of the mask that are kept, by each grouping, and `emptied`."""
    dim, total, empty = mask.facts["dim"], len(mask.bits), 0
    sums = [np.zeros((len(groups.names), dim), np.int64) for _, groups in groupings]
    for start in range(0, total, _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        rows = np.unpackbits(mask.bits[block], axis=1, count=dim)
        empty += int((~rows.any(axis=1)).sum())
        for kept, (group, _) in zip(sums, groupings, strict=True):
            for index in np.unique(group[block]):
                kept[index] += rows[group[block] == index].sum(axis=0, dtype=np.int64)
    features = [np.where(g.features > 0, g.features, np.nan) for _, g in groupings]
    return [kept / n[:, None] for kept, n in zip(sums, features, strict=True)], empty / total


def mean_sizes(seeds: list[Sizes]) -> Sizes | None:
    """The sizes of one run over its seeds: each share is the mean of the seeds that have it."""
    if not seeds:
        return None
    fields, dims = seeds[0].fields, [t.dim for t in seeds[0].tickets]
    alike = [
        s for s in seeds if s.fields.names == fields.names and [t.dim for t in s.tickets] == dims
    ]
    bins = max((s.bins for s in alike if s.bins), key=lambda b: len(b.names), default=None)
    return Sizes(
        fields, bins, [_mean(same) for same in zip(*(s.tickets for s in alike), strict=True)]
    )


def _mean(seeds: Sequence[TicketSizes]) -> TicketSizes:
    """The mean of a ticket over its seeds; some lack the highest bins, or have empty ones."""
    by_bin = [pd.DataFrame(t.by_frequency) for t in seeds if t.by_frequency is not None]
    return dataclasses.replace(
        seeds[0],
        by_field=np.mean([t.by_field for t in seeds], axis=0),
        by_frequency=np.array(pd.concat(by_bin).groupby(level=0).mean(), order="C")
        if by_bin
        else None,
        emptied=float(np.mean([t.emptied for t in seeds])),
    )


def _bin_name(index: int) -> str:
    """0, 1-3, 4-15, ..."""
    if index == 0:
        return "0"
    low: Any = _BIN_BASE ** (index - 1)
    return f"{_short(low)}–{_short(low * _BIN_BASE - 1)}"


def _short(number: int) -> str:
    """16384 as 16k: a label, not a figure."""
    if number < 1000:
        return str(number)
    return f"{number / 1000:.0f}k" if number < 999_500 else f"{number / 1e6:.0f}M"
