"""The answer of a page in three parts: how small, at what cost, and why to believe it."""

import statistics
from collections.abc import Sequence

from pep_tf.experiments import text
from pep_tf.experiments.report.parts import Card
from pep_tf.experiments.report.reading import Record
from pep_tf.experiments.summary import TOLERANCE, Choice, Line, distinct_rows, spread_over


def headline(record: Record, lines: Sequence[Line], choice: Choice) -> list[Card]:
    """The three cards of a run; one where it has no ticket yet."""
    ticket = choice.ticket
    if ticket is None:
        points = ["No ticket has finished; see the notes below."]
        return [Card("How small?", "-", "no ticket yet", points)]
    kept = text.percent(ticket.mean("fraction") or 0.0)
    points, gap = _at_what_cost(record, choice.baseline, ticket)
    deviation = ticket.spread("test_auc")
    trust = ("1", "seed")
    if deviation is not None:
        trust = (f"± {deviation:.4f}", f"over {len(ticket.values('test_auc'))} seeds")
    return [
        Card("How small?", kept, "of the table", _how_small(choice, ticket)),
        Card("At what cost?", gap, "test AUC", points),
        Card("Why believe it?", *trust, _why_believe(record, lines, ticket)),
    ]


def _how_small(choice: Choice, ticket: Line) -> list[str]:
    kept = text.count(ticket.mean("nnz"))
    baseline = choice.baseline
    if baseline is None:
        return [f"{kept} numbers kept; there is no baseline to compare."]
    if choice.within:
        first = f"The smallest {ticket.noun} whose validation AUC is within {TOLERANCE} of the uniform table's."
    else:
        first = f"No {ticket.noun} is within {TOLERANCE} of the uniform table's validation AUC: this is the best one."
    numbers = f"{kept} of {text.count(baseline.mean('nnz'))} numbers kept."
    return [first, numbers, _model_bytes(baseline, ticket)]


def _model_bytes(baseline: Line, ticket: Line) -> str:
    for what, how in (("export_bytes", "exported, all files"), ("bytes", "computed")):
        before, after = baseline.mean(what), ticket.mean(what)
        if before and after:
            ratio = f", {before / after:.1f} times smaller" if after < before else ""
            return (
                f"The whole model takes {text.short_bytes(after)} instead of "
                f"{text.short_bytes(before)}{ratio} ({how})."
            )
    return "The size of the whole model is not known."


def _at_what_cost(record: Record, baseline: Line | None, ticket: Line) -> tuple[list[str], str]:
    own = ticket.mean("test_auc")
    before = baseline.mean("test_auc") if baseline else None
    if own is None or before is None or baseline is None:
        return [], text.auc(own)
    loss, loss_before = (text.auc(line.mean("test_logloss")) for line in (ticket, baseline))
    times = [f"uniform table {text.duration(baseline.mean('seconds'))}"]
    if record.prune_seconds:
        times.append(f"pruning {text.duration(statistics.fmean(record.prune_seconds))}")
    times.append(f"this {ticket.noun} {text.duration(ticket.mean('seconds'))}")
    return [
        f"{text.auc(own)} against {text.auc(before)} of the uniform table.",
        f"Logloss {loss} against {loss_before}.",
        f"Training: {', '.join(times)}.",
    ], text.signed(own - before)


def _why_believe(record: Record, lines: Sequence[Line], ticket: Line) -> list[str]:
    points = ["One seed has no spread: small differences may be chance. --seeds=3 repeats a run."]
    if ticket.spread("test_auc") is not None:
        points = [
            f"Standard deviation of the {ticket.noun}'s test AUC; {_paired(lines, ticket)}",
            spread_over(ticket.rows),
        ]
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
    return points


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

    def size(line: Line) -> float:
        return line.mean("nnz") or 0.0

    narrow = sorted((x for x in lines if x.uniform and not x.baseline), key=size)
    larger = [x for x in narrow if size(x) >= size(ticket)]
    return next(iter([*larger, *narrow[::-1]]), None)
