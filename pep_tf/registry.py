"""Names for classes and functions of one's own, and names that were changed."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T", bound=Callable[..., Any])


def registering(
    name: str,
    what: str,
    known: dict[str, Any],
    entry: Callable[[Any], Any] = lambda made: made,
    made_from: Callable[[Any], Any] = lambda entry: entry,
) -> Callable[[_T], _T]:
    """A decorator that enters a class or function in a registry, again if it was defined again.

    Args:
        name: to enter it by.
        what: what it is, for the message.
        known: the registry.
        entry: what is entered of it.
        made_from: the reverse of `entry`.

    Raises:
        ValueError: the name of another one.
    """

    def add(made: _T) -> _T:
        own = made.__qualname__
        other = getattr(made_from(known[name]), "__qualname__", name) if name in known else own
        if other != own:
            raise ValueError(
                f"`name` must not be that of another {what}. Received: {name!r} for {own}, which "
                f"{other} has"
            )
        known[name] = entry(made)
        return made

    return add


def renamed(module: str, names: Mapping[str, Any]) -> Callable[[str], Any]:
    """A module's `__getattr__` that still gives what has another name now, with a warning.

    Args:
        module: its `__name__`.
        names: what each old name stands for.
    """

    def find(old: str) -> Any:
        if old not in names:
            raise AttributeError(f"module {module!r} has no attribute {old!r}")
        now = names[old]
        told = f"{module}.{old} is {module}.{now.__name__} now"
        warnings.warn(told, DeprecationWarning, stacklevel=2)
        return now

    return find
