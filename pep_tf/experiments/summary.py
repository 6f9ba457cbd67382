"""The rows of a run as lines of a table, one for each trained table, over the seeds."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from pep_tf.experiments.results import Row
from pep_tf.experiments.text import clean, percent
from pep_tf.training.methods import PEP

TOLERANCE = 0.001  # AUC; differences of this size are commonly called significant for click models


@dataclasses.dataclass(frozen=True)
class Line:
    """Rows of the same table, one per seed.

    Attributes:
        label: what it is, for people.
        rows: at least one.
    """

    label: str
    rows: tuple[Row, ...]

    @property
    def uniform(self) -> bool:
        """Whether every feature has the same size."""
        return self.rows[0].stage in ("baseline", "uniform")

    @property
    def noun(self) -> str:
        """Its name in a sentence."""
        return "small table" if self.rows[0].stage == "small" else "ticket"

    @property
    def baseline(self) -> bool:
        """Whether it is the table that was pruned, before pruning."""
        return self.rows[0].stage == "baseline"

    @property
    def capped(self) -> bool:
        """Whether a seed used up its epochs before its patience."""
        return any(row.capped for row in self.rows)

    def values(self, name: str) -> list[float]:
        """An attribute of `Row` over the seeds; only numbers that are finite."""
        found = [getattr(row, name) for row in self.rows]
        return [float(v) for v in found if v is not None and math.isfinite(v)]

    def mean(self, name: str) -> float | None:
        """Mean over the seeds; None where no seed has it."""
        values = self.values(name)
        return statistics.fmean(values) if values else None

    def spread(self, name: str) -> float | None:
        """Standard deviation over the seeds (n - 1); None with fewer than two."""
        values = self.values(name)
        return statistics.stdev(values) if len(values) > 1 else None


def lines_of(rows: Sequence[Row]) -> list[Line]:
    """Rows grouped over their seeds: the baseline, other uniform tables, tickets; each from large to small."""
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        # A share rather than a count: vocabularies can differ by a few features from seed to seed.
        key = (row.stage, row.method, row.init, f"{row.fraction:.3g}")
        groups.setdefault(key, []).append(row)
    order = {"baseline": 0, "uniform": 1}
    lines = [Line(_label(group[0]), tuple(group)) for group in groups.values()]
    return sorted(lines, key=lambda x: (order.get(x.rows[0].stage, 2), -(x.mean("nnz") or 0)))


def _label(row: Row) -> str:
    if row.stage in ("baseline", "uniform"):
        width = (
            f", d\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{row.embedding_dim}"
            if row.embedding_dim is not None
            else ""
        )
        return f"uniform{width}"
    other = row.method if row.method not in (None, PEP) else None
    kinds = {
        "small": clean(row.method),
        "ticket": clean(other or "ticket"),
        "pruned": f"{clean(other or '')} as cut,".strip(),
    }
    start = f" ({row.init} start)" if row.init in ("random", "trained") else ""
    return f"{kinds.get(row.stage, clean(row.stage))} {percent(row.fraction)}{start}"


@dataclasses.dataclass(frozen=True)
class Choice:
    """The ticket that the page puts first.

    Attributes:
        baseline, ticket: what is compared; None where the run has none.
        within: whether the ticket's validation AUC is within `TOLERANCE` of the baseline's.
    """

    baseline: Line | None
    ticket: Line | None
    within: bool


def choose(lines: Sequence[Line]) -> Choice:
    """The smallest ticket that costs no more than `TOLERANCE` of validation AUC.

    Where there is none: the ticket with the best validation AUC. The test split has no say in it.
    """
    baseline = next((line for line in lines if line.baseline), None)
    tickets = [t for t in lines if not t.uniform and t.mean("validation_auc") is not None]
    if not tickets:
        return Choice(baseline, None, False)

    def validation(line: Line) -> float:
        return line.mean("validation_auc") or 0.0

    if baseline is not None and baseline.mean("validation_auc") is not None:
        floor = validation(baseline) - TOLERANCE
        if good := [t for t in tickets if validation(t) >= floor]:
            return Choice(baseline, min(good, key=lambda t: t.mean("nnz") or 0.0), True)
    return Choice(baseline, max(tickets, key=validation), False)


def distinct_rows(rows: Sequence[Row]) -> int:
    """How many different sets of training, validation and test rows there are among results.

    They are compared by the digests of content and split, or by the md5 of the row numbers if a result
    is of a version that recorded no digests.
    """
    known = {(row.content_md5, (row.data_md5 or {}).get("split")) for row in rows}
    if all(None not in digests for digests in known):
        return len(known)
    return len({tuple(sorted(row.split_md5.items())) for row in rows})


def spread_over(rows: Sequence[Row]) -> str:
    """What the standard deviation over the seeds is over, in a sentence; empty with one seed."""
    seeds = len({row.seed for row in rows})
    if seeds < 2:
        return ""
    splits = distinct_rows(rows)
    if splits == 1:
        return (
            f"All {seeds} seeds share one split: the spread is over initial weights, order and dropout "
            "alone."
        )
    if splits == seeds:
        return "Each seed has a split, initial weights and an order of its own."
    return f"The {seeds} seeds have {splits} different sets of rows."
