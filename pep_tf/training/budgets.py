"""Budgets: how many entries of a table may stay."""

import fractions
from collections.abc import Sequence

from pep_tf.errors import RunError

Budget = int | float | str


def resolve_budgets(budgets: Sequence[Budget], entries: int) -> list[int]:
    """Turns budgets into counts of entries, largest first.

    Args:
        budgets: counts (`26425`), fractions of the table (`0.1`) or percentages (`"10%"`). A
            fraction is taken as its decimal digits say and rounded down to whole entries.
        entries: N x d.

    Returns:
        Distinct counts in falling order.

    Raises:
        RunError: no budget, one that cannot be read, or one outside [0, entries].

    Example:
        >>> resolve_budgets(["10%", 0.2, 5], 264256)
        [52851, 26425, 5]
    """
    if not budgets:
        raise RunError("`budgets` must name at least one budget. Received: none")
    return sorted({_count(budget, entries) for budget in budgets}, reverse=True)


def _count(budget: Budget, entries: int) -> int:
    text = str(budget).strip()
    scale = 100 if text.endswith("%") else 1
    try:
        share = fractions.Fraction(text.removesuffix("%").strip()) / scale
    except (ValueError, ZeroDivisionError):
        raise RunError(
            "A budget must be a count (26425), a fraction (0.1) or a percentage (10%). "
            f"Received: {text!r}"
        ) from None
    is_count = text.isdecimal()
    count = int(share) if is_count else int(share * entries)
    if share < 0 or count > entries or (not is_count and share > 1):
        raise RunError(f"A budget must be within the table's {entries} entries. Received: {text}")
    return count
