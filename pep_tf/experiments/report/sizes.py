"""Learned embedding sizes of a run's tickets, summed up by field and by frequency."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

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
        emptied: share of features of which nothing is kept.
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
    """The tickets of one seed, largest budget first."""

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
            masks.append(_Mask.read(path))
        except PepError as error:
            notes.append(f"A ticket is left out: {error}")
    if not masks:
        notes.append("No tickets in the folder: learned sizes and the mask are not shown.")
        return None
    schema = masks[0].schema
    masks = [m for m in masks if m.schema == schema]
    counts = _counts(folder, schema, notes)
    grouping = _Grouping(schema, counts)
    tickets = [grouping.sum_up(mask) for mask in sorted(masks, key=lambda m: -m.budget)]
    return Sizes(grouping.fields, grouping.bins, tickets)


def _counts(folder: pathlib.Path, schema: FeatureSchema, notes: list[str]) -> np.ndarray | None:
    path = folder / "feature_counts.safetensors"
    if not path.exists():
        notes.append("No feature_counts.safetensors: sizes by frequency are not shown.")
        return None
    try:
        counted, counts = load_feature_counts(path)
    except PepError as error:
        notes.append(f"Sizes by frequency are not shown: {error}")
        return None
    if counted != schema:
        notes.append("Sizes by frequency are not shown: the counts are of other fields.")
        return None
    return counts


@dataclasses.dataclass(frozen=True)
class _Mask:
    """The part of a ticket's file that says what is kept."""

    budget: int
    dim: int
    step: int
    forced: bool
    bits: np.ndarray
    schema: FeatureSchema

    @classmethod
    def read(cls, path: pathlib.Path) -> "_Mask":
        tables, facts = read_masks(path)
        try:
            schema = FeatureSchema.of(facts["model_config"]["config"]["fields"])
            embedding = next(iter(tables.values()))
            mask = cls(
                int(facts["budget"]),
                embedding.dim,
                int(facts["step"]),
                bool(facts["forced"]),
                embedding.bits,
                schema,
            )
            if len(mask.bits) != schema.num_features:
                raise ValueError(f"{len(mask.bits)} rows for {schema.num_features} features")
        except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
            raise TicketError(f"{path} is damaged: {error}") from error
        return mask


def mean_sizes(seeds: list[Sizes]) -> Sizes | None:
    """The sizes of one run over its seeds: each share is the mean of the seeds that have it."""
    if not seeds:
        return None
    first = seeds[0]
    alike = [
        s
        for s in seeds
        if s.fields.names == first.fields.names
        and [t.dim for t in s.tickets] == [t.dim for t in first.tickets]
    ]
    with_bins = [s for s in alike if s.bins is not None]
    bins = max((s.bins for s in with_bins if s.bins), key=lambda b: len(b.names), default=None)
    tickets = []
    for index, ticket in enumerate(first.tickets):
        same = [s.tickets[index] for s in alike]
        by_bin = [t.by_frequency for t in same if t.by_frequency is not None]
        tickets.append(
            dataclasses.replace(
                ticket,
                by_field=np.mean([t.by_field for t in same], axis=0),
                by_frequency=_mean_of_bins(by_bin, len(bins.names)) if bins and by_bin else None,
                emptied=float(np.mean([t.emptied for t in same])),
            )
        )
    return Sizes(first.fields, bins, tickets)


def _mean_of_bins(shares: list[np.ndarray], bins: int) -> np.ndarray:
    """Mean over seeds of [B_i, d], of which some may lack the highest bins."""
    total, known = np.zeros((bins, shares[0].shape[1])), np.zeros((bins, 1))
    for share in shares:
        there = np.isfinite(share[:, :1])
        total[: len(share)] += np.where(there, share, 0)
        known[: len(share)] += there
    return np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)


class _Grouping:
    """Sums rows of a mask by field and by bin in one pass: by pairs of both, in sorted order."""

    def __init__(self, schema: FeatureSchema, counts: np.ndarray | None) -> None:
        self.fields = Groups(schema.names, np.array(schema.sizes))
        self.bins: Groups | None = None
        field = np.repeat(np.arange(schema.num_fields), schema.sizes)
        self._num_bins = 1
        bins = np.zeros(len(field), np.int64)
        if counts is not None:
            bins = np.digitize(counts, _edges(counts))
            self._num_bins = int(bins.max(initial=0)) + 1
            number = np.bincount(bins, minlength=self._num_bins)
            self.bins = Groups(tuple(_bin_name(k) for k in range(self._num_bins)), number)
        pairs = field * self._num_bins + bins
        self._order = np.argsort(pairs, kind="stable")
        self._pairs = pairs[self._order]

    def sum_up(self, mask: _Mask) -> TicketSizes:
        """Shares by group."""
        sums = np.zeros((len(self.fields.names) * self._num_bins, mask.dim), np.int64)
        empty = 0
        for start in range(0, len(self._order), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            rows = np.unpackbits(mask.bits[self._order[part]], axis=1, count=mask.dim)
            pairs = self._pairs[part]
            first = np.flatnonzero(np.diff(pairs, prepend=-1))
            sums[pairs[first]] += np.add.reduceat(rows, first, axis=0, dtype=np.int64)
            empty += int((~rows.any(axis=1)).sum())
        cube = sums.reshape(len(self.fields.names), self._num_bins, mask.dim)
        by_bin = None
        if self.bins is not None:
            number = np.where(self.bins.features > 0, self.bins.features, np.nan)
            by_bin = cube.sum(axis=0) / number[:, None]
        return TicketSizes(
            budget=mask.budget,
            dim=mask.dim,
            step=mask.step,
            forced=mask.forced,
            by_field=cube.sum(axis=1) / self.fields.features[:, None],
            by_frequency=by_bin,
            emptied=empty / len(self._order),
        )


def _edges(counts: np.ndarray) -> list[int]:
    """Lower edges of the bins 1, 2, ...; bin 0 holds what never occurs."""
    edges, edge = [1], _BIN_BASE
    while edge <= counts.max(initial=0):
        edges.append(edge)
        edge *= _BIN_BASE
    return edges


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
