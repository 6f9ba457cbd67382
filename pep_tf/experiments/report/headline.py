"""The answer of a page in three parts: how small, at what cost, and why to believe it."""

import dataclasses
import statistics
from collections.abc import Sequence

from pep_tf.experiments.report import drawing, text
from pep_tf.experiments.report.reading import Record
from pep_tf.experiments.report.same_rows import distinct_rows, spread_over
from pep_tf.experiments.report.summary import TOLERANCE, Choice, Line


@dataclasses.dataclass(frozen=True)
class Card:
    """One part of the answer: a question, the figure that answers it, and what stands behind it."""

    question: str
    figure: str
    unit: str
    points: tuple[str, ...]


def headline(record: Record, lines: Sequence[Line], choice: Choice) -> list[Card]:
    """The three cards of a run; fewer where it has no ticket yet."""
    if choice.ticket is None:
        return [
            Card(
                "How small?",
                "-",
                "no ticket yet",
                ("No ticket has finished; see the notes below.",),
            )
        ]
    return [
        _how_small(choice, choice.ticket),
        _at_what_cost(record, choice, choice.ticket),
        _why_believe(record, lines, choice.ticket),
    ]


def _how_small(choice: Choice, ticket: Line) -> Card:
    points = []
    if choice.within:
        points.append(
            f"The smallest {ticket.noun} whose validation AUC is within {TOLERANCE} of the uniform table's."
        )
    elif choice.baseline is not None:
        points.append(
            f"No {ticket.noun} is within {TOLERANCE} of the uniform table's validation AUC: this is the best one."
        )
    if choice.baseline is None:
        points.append(
            f"{text.count(ticket.mean('nnz'))} numbers kept; there is no baseline to compare."
        )
    else:
        points.append(
            f"{text.count(ticket.mean('nnz'))} of {text.count(choice.baseline.mean('nnz'))} numbers kept."
        )
        points.append(_model_bytes(choice.baseline, ticket))
    return Card(
        "How small?", text.percent(ticket.mean("fraction") or 0.0), "of the table", tuple(points)
    )


def _model_bytes(baseline: Line, ticket: Line) -> str:
    for what, how in (("export_bytes", "exported, all files"), ("bytes", "computed")):
        before, after = baseline.mean(what), ticket.mean(what)
        if before and after:
            ratio = f", {before / after:.1f} times smaller" if after < before else ""
            return (
                f"The whole model takes {drawing.short_bytes(after)} instead of "
                f"{drawing.short_bytes(before)}{ratio} ({how})."
            )
    return "The size of the whole model is not known."


def _at_what_cost(record: Record, choice: Choice, ticket: Line) -> Card:
    own = ticket.mean("test_auc")
    before = choice.baseline.mean("test_auc") if choice.baseline else None
    points = []
    if own is None or before is None or choice.baseline is None:
        figure, unit = text.auc(own), "test AUC"
    else:
        figure, unit = text.signed(own - before), "test AUC"
        points.append(f"{text.auc(own)} against {text.auc(before)} of the uniform table.")
        points.append(
            f"Logloss {text.auc(ticket.mean('test_logloss'))} against "
            f"{text.auc(choice.baseline.mean('test_logloss'))}."
        )
        points.append(f"Training: {_times(record, choice.baseline, ticket)}.")
    return Card("At what cost?", figure, unit, tuple(points))


def _times(record: Record, baseline: Line, ticket: Line) -> str:
    parts = [f"uniform table {text.duration(baseline.mean('seconds'))}"]
    if record.prune_seconds:
        parts.append(f"pruning {text.duration(statistics.fmean(record.prune_seconds))}")
    parts.append(f"this {ticket.noun} {text.duration(ticket.mean('seconds'))}")
    return ", ".join(parts)


def _why_believe(record: Record, lines: Sequence[Line], ticket: Line) -> Card:
    seeds = len(ticket.values("test_auc"))
    deviation = ticket.spread("test_auc")
    if deviation is None:
        figure, unit = "1", "seed"
        points = [
            "One seed has no spread: small differences may be chance. --seeds=3 repeats a run."
        ]
    else:
        figure, unit = f"± {deviation:.4f}", f"over {seeds} seeds"
        points = [f"Standard deviation of the {ticket.noun}'s test AUC; {_paired(lines, ticket)}"]
        points.append(spread_over(ticket.rows))
    points.append(
        "Chosen on the validation split; each table was scored on the test split once, at the end."
    )
    points.append(_same_protocol(record, f"Uniform tables and {ticket.noun}s"))
    if rival := _rival(lines, ticket):
        points.append(
            f"A uniform table with {text.count(rival.mean('nnz'))} numbers "
            f"({rival.label.removeprefix('uniform, ')}) reaches {text.auc(rival.mean('test_auc'))}."
        )
    if ticket.rows[0].stage == "pruned":
        points.append("The tickets were not retrained.")
    return Card("Why believe it?", figure, unit, tuple(points))


def _same_protocol(record: Record, these: str) -> str:
    """Whether what is compared, seed by seed, was trained on the same rows."""
    by_seed = ([row for row in record.rows if row.seed == seed] for seed in record.seeds)
    if any(distinct_rows(rows) > 1 for rows in by_seed):
        return f"{these} of a seed were NOT trained on the same rows."
    each = "" if len(record.seeds) == 1 else ", seed by seed"
    return f"{these} were trained by the same protocol, on the same rows{each}."


def _paired(lines: Sequence[Line], ticket: Line) -> str:
    """By how much the ticket differs from the baseline of the same seed."""
    before = {row.seed: row.test_auc for line in lines if line.baseline for row in line.rows}
    gaps = [row.test_auc - before[row.seed] for row in ticket.rows if row.seed in before]
    if not gaps:
        return "no baseline of the same seeds."
    return f"against the baseline of the same seed {text.signed(min(gaps))} to {text.signed(max(gaps))}."


def _rival(lines: Sequence[Line], ticket: Line) -> Line | None:
    """The uniform table to compare with: the smallest one at least as large, below the baseline."""
    size = ticket.mean("nnz") or 0.0
    narrow = [x for x in lines if x.uniform and not x.baseline]
    larger = [x for x in narrow if (x.mean("nnz") or 0.0) >= size]
    if larger:
        return min(larger, key=lambda x: x.mean("nnz") or 0.0)
    return max(narrow, key=lambda x: x.mean("nnz") or 0.0, default=None)
