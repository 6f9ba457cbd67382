"""Budgets: how many entries of tables may stay, or how many bytes they may take."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pep_tf.errors import NumberError, RunError
from pep_tf.numbers import INT32_MAX, Number, listed, read_number, read_size

Budget = int | float | str


class ByteBudget(NamedTuple):
    """A budget in bytes, of all tables as they are stored.

    Attributes:
        bytes: at most so many.
        entries: about as many entries are left then; the exact number depends on which they are.
    """

    bytes: int
    entries: int


class Storage(Protocol):
    """Counts the bytes of tables; see `StoredSize`."""

    def budget(self, size: Number, given: Any) -> ByteBudget: ...


_SUCH_AS = "'20%',5000"
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
    return [total(budget) for budget in _resolved(budgets, entries, None)]


def resolve_table_budgets(
    budgets: Any, entries: Mapping[str, int], storage: Storage | None = None
) -> list[int | dict[str, int] | ByteBudget]:
    """Turns budgets of one or more tables into counts of entries, largest first.

    Args:
        budgets: what `resolve_budgets` takes, of the entries of all tables together; or
            `{table: budget}`, or a list of such: of each table by itself, where a table that is not
            named keeps all of its entries.
        entries: `{table: N x d}`.
        storage: counts the bytes of budgets such as `"30KB"` and `"3%bytes"`, see `read_size`; None
            where these have no meaning.

    Returns:
        Counts or bytes for all tables together, or `{table: count}` for every table.

    Raises:
        RunError: what `resolve_budgets` refuses, or a table that is not there.

    Example:
        >>> resolve_table_budgets({"item": "5%"}, {"user": 100, "item": 2000})
        [{'user': 100, 'item': 100}]
    """
    given: Any = [budgets] if isinstance(budgets, Mapping) else listed("budgets", budgets, _SUCH_AS)
    if not any(isinstance(x, Mapping) for x in given):
        return list(_resolved(given, sum(entries.values()), storage))
    resolved: list[dict[str, int]] = []
    for budget in given:
        if not isinstance(budget, Mapping):
            raise RunError(
                "`budgets` must be all for the tables together, or all by table. "
                f"Received: {given!r}"
            )
        if unknown := sorted(set(budget) - set(entries)):
            raise RunError(
                f"`budgets` must name tables of the model, which are {sorted(entries)}. "
                f"Received: {unknown}"
            )
        if not budget:
            raise RunError(f"`budgets` must name a table. Received: {given!r}")
        counts = {name: _count(value, entries[name]) for name, value in budget.items()}
        resolved.append({name: counts.get(name, size) for name, size in entries.items()})
    if all(found == dict(entries) for found in resolved):
        raise RunError(f"`budgets` must leave something out of a table. Received: {given!r}")
    return sorted(resolved, key=total, reverse=True)


def total(budget: int | dict[str, int] | ByteBudget) -> int:
    """Entries that a budget keeps in all tables together; an estimate for a budget in bytes."""
    if isinstance(budget, ByteBudget):
        return budget.entries
    return budget if isinstance(budget, int) else sum(budget.values())


def is_reached(budget: int | dict[str, int] | ByteBudget, nnz: Mapping[str, int]) -> bool:
    """Whether tables with so many non-zeros are within a budget."""
    if not isinstance(budget, dict):
        return sum(nnz.values()) <= total(budget)
    return all(nnz.get(name, 0) <= count for name, count in budget.items())


def in_bytes(budgets: Any) -> bool:
    """Whether budgets, as they were given, are all in bytes."""
    given = [budgets] if isinstance(budgets, Mapping) else listed("budgets", budgets, _SUCH_AS)
    return bool(given) and all(read_size(budget) is not None for budget in given)


def check_budgets(budgets: Sequence[Budget]) -> None:
    """Refuses budgets that no table can be cut to; see `resolve_budgets`."""
    _resolved(budgets, _ANY_TABLE, _AnyStorage())


class _AnyStorage:
    """Tables of unknown size: refuses only what no table can be cut to."""

    def budget(self, size: Number, given: Any) -> ByteBudget:
        if size.value <= 0 or (size.form == "percent" and size.value > 1):
            raise NumberError(
                f"A budget must be above 0 and at most 100 % of the bytes. Received: {given}"
            )
        return ByteBudget(0, int(size.value * _ANY_TABLE))


def _resolved(
    budgets: Sequence[Budget], entries: int, storage: Storage | None
) -> list[int | ByteBudget]:
    if isinstance(budgets, Mapping):
        raise RunError(
            "`budgets` must be for all tables together: by table they are for pep_tf.prune and "
            f"pep_tf.PruneCallback. Received: {budgets!r}"
        )
    budgets = listed("budgets", budgets, _SUCH_AS)
    if not budgets:
        raise RunError("`budgets` must name at least one budget. Received: none")
    found: set[int | ByteBudget] = set()
    for budget in budgets:
        size = read_size(budget)
        if size is None:
            found.add(_count(budget, entries))
        elif storage is not None:
            found.add(storage.budget(size, budget))
        else:
            raise NumberError(
                "A budget in bytes is for pep_tf.prune, pep_tf.PruneCallback and the main command. "
                f"Received: {budget}"
            )
    return sorted(found, key=total, reverse=True)


def _count(budget: Budget, entries: int) -> int:
    number = read_number(budget)
    if number is None:
        if read_size(budget) is not None:  # of one table among others
            raise NumberError(
                f"A budget in bytes is for all tables together, not by table. Received: {budget!r}"
            )
        raise NumberError(
            "A budget must be a count (26425), a fraction (0.1), a percentage (10%) or bytes (30KB, "
            f"3%bytes). Received: {budget!r}"
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
