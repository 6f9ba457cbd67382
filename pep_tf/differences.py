"""What differs between what was recorded and what is at hand, in one line of words."""

from collections.abc import Mapping, Sequence
from typing import Any

_MOST = 4  # differences told in one line


def differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A phrase for each value that differs, those of nested mappings by their own names.

    Args:
        there: what was recorded.
        here: what is at hand.
        prefix: put before each name.

    Example:
        >>> differences({"l2": 1e-5, "search": {"space": 1}}, {"l2": 0.5, "search": {"space": 2}})
        ['l2 1e-05, here 0.5', 'search space 1, here 2']
    """
    found = []
    for name in dict.fromkeys([*there, *here]):
        own, other = there.get(name), here.get(name)
        if isinstance(own, Mapping) and isinstance(other, Mapping):
            found += differences(own, other, f"{prefix}{name} ")
        elif own != other:
            found.append(differs(f"{prefix}{name}", own, other))
    return found


def differs(name: str, there: Any, here: Any) -> str:
    """The phrase for one value: `l2 1e-05, here 0.5`."""
    return f"{name} {_shown(there)}, here {_shown(here)}"


def one_line(phrases: Sequence[str]) -> str:
    """The first few phrases, and how many more there are."""
    more = f"; and {len(phrases) - _MOST} more" if len(phrases) > _MOST else ""
    return "; ".join(phrases[:_MOST]) + more


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "given" if value else "none"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return str(value)
