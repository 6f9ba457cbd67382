"""What a page is made of: notices, cards, and sections of tables and commands."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pep_tf.experiments.text import clean

_STARS = "***"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell; `value` is the exact number, as text, or empty."""

    text: str
    value: str = ""
    marked: bool = False


def number(show: Callable[[Any], str], value: float | None) -> Cell:
    """A cell of a number, rounded by `show`, which has a form for None, too."""
    return Cell(show(value), "" if value is None else repr(value))


@dataclasses.dataclass
class Table:
    """A table of a page; the first column names the row, and a cell may be given as its text alone."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __post_init__(self) -> None:
        """Makes a cell of each text."""
        self.rows = [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in self.rows]

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which are set flush right."""
        return any(len(row) > column and row[column].value for row in self.rows)


@dataclasses.dataclass(frozen=True)
class Card:
    """One part of the answer: a question, the figure that answers it, and what stands behind it."""

    question: str
    figure: str
    unit: str
    points: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Notice:
    """What has to be known before anything else on a page."""

    title: str
    text: str


def notices(config: Mapping[str, Any], run: str = "") -> list[Notice]:
    """A notice if another data set was used than the one asked for, from a run's `config.json`."""
    data = config.get("data")
    line = data.get("fallback") if isinstance(data, dict) else None
    if not isinstance(line, str):
        return []
    title, rest = "Another data set was used", line
    if line.startswith(_STARS) and line.count(_STARS) > 1:  # as the terminal prints it
        _, title, rest = line.split(_STARS, 2)
    return [Notice(run + clean(title.strip()), clean(rest.strip(), longest=1000))]


def section(anchor: str, title: str, **parts: Any) -> dict[str, Any]:
    """A section of the template; parts that are not given stay empty."""
    empty: dict[str, Any] = {"text": "", "pictures": [], "tables": [], "folded": [], "commands": []}
    return {"anchor": anchor, "title": title, **empty, **parts}


def filled(sections: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that have anything to show."""
    parts = ("pictures", "tables", "folded", "commands")
    return [section for section in sections if any(section[part] for part in parts)]
