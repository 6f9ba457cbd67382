"""Budgets: how many entries of a table may stay."""

from collections.abc import Sequence

from pep_tf.errors import NumberError, RunError
from pep_tf.numbers import INT32_MAX, listed, read_number

Budget = int | float | str
_ANY_TABLE = 1 << 80  # more entries than any table has, so that every fraction keeps some


def resolve_budgets(budgets: Sequence[Budget], entries: int) -> list[int]:
    """Turns budgets into counts of entries, largest first.

    Args:
        budgets: counts (`26425`, `"26,425"`), fractions of the table (`0.1`) or percentages
            (`"10%"`). A fraction is taken as its decimal digits say and rounded down to whole entries.
        entries: N x d.

    Returns:
        Distinct counts in falling order.

    Raises:
        RunError: no budget, one that cannot be read, one that keeps no entry or more than there are.

    Example:
        >>> resolve_budgets(["10%", 0.2, 5], 264256)
        [52851, 26425, 5]
    """
    budgets = listed("budgets", budgets, "'20%',5000")
    if not budgets:
        raise RunError("`budgets` must name at least one budget. Received: none")
    return sorted({_count(budget, entries) for budget in budgets}, reverse=True)


def check_budgets(budgets: Sequence[Budget]) -> None:
    """Refuses budgets that no table can be cut to; see `resolve_budgets`."""
    resolve_budgets(budgets, _ANY_TABLE)


def _count(budget: Budget, entries: int) -> int:
    number = read_number(budget)
    if number is None:
        raise NumberError(
            "A budget must be a count (26425), a fraction (0.1) or a percentage (10%). "
            f"Received: {budget!r}"
        )
    if number.form != "count" and number.value > 1:
        most = "100%" if number.form == "percent" else "1, which is all entries"
        raise NumberError(f"A budget must be at most {most}. Received: {budget}")
    count = int(number.value if number.form == "count" else number.value * entries)
    whole_table = "" if entries == _ANY_TABLE else f" of the table's {entries:,} entries"
    if number.value < 0 or count < 1:
        raise NumberError(
            f"A budget must keep at least one{whole_table or ' entry'}. Received: {budget}"
        )
    if count > INT32_MAX and entries != _ANY_TABLE:
        raise NumberError(
            f"A budget must keep at most {INT32_MAX:,} entries, whose places in a ticket are int32. "
            f"Received: {budget}, {count:,} entries"
        )
    if count > entries:
        raise NumberError(
            f"A budget must keep at most all{whole_table or ' entries'}. Received: {budget}"
        )
    return count
