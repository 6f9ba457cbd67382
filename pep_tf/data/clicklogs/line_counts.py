"""What happened to each line of a file; and what is said where that stops."""

import collections
from typing import NoReturn

from pep_tf.data.clicklogs.formats import Format
from pep_tf.data.clicklogs.parse import ParsedBlock
from pep_tf.data.clicklogs.strict import BadLine
from pep_tf.errors import DataError

_EXAMPLES = 5


class LineCounts:
    """What happened to each line of a file: `lines = header + rows + bad`."""

    def __init__(self, fmt: Format) -> None:
        self.header = int(fmt.header)
        self.rows = 0
        self.bad = 0
        self.bad_by_reason: collections.Counter[str] = collections.Counter()
        self.examples: list[BadLine] = []

    @property
    def lines(self) -> int:
        return self.header + self.rows + self.bad

    def add(self, block: ParsedBlock) -> None:
        self.rows += len(block.lines)
        self.bad += len(block.bad)
        for bad in block.bad:
            # Details after the comma or of the value differ by line; the kind of fault is what counts.
            self.bad_by_reason[bad.reason.split(", not ")[0]] += 1
        self.examples.extend(block.bad[: _EXAMPLES - len(self.examples)])

    def add_later(self, others: "LineCounts") -> None:
        """Adds what was counted in lines further down."""
        self.rows += others.rows
        self.bad += others.bad
        self.bad_by_reason.update(others.bad_by_reason)
        self.examples.extend(others.examples[: _EXAMPLES - len(self.examples)])

    def require_rows(self, path: object) -> None:
        """Raises DataError unless the file has a row."""
        if not self.rows:
            raise DataError(f"{path}: no row in it ({self.bad} bad lines of {self.lines}).")

    def to_dict(self) -> dict[str, object]:
        """JSON-ready counts."""
        return {
            "lines": self.lines,
            "header": self.header,
            "rows": self.rows,
            "bad": self.bad,
            "bad_by_reason": dict(self.bad_by_reason.most_common(20)),
            "bad_examples": [
                {"line": b.line, "reason": b.reason, "start": b.start.decode("utf-8", "replace")}
                for b in self.examples
            ],
        }


def refuse_line(path: object, bad: BadLine) -> NoReturn:
    """Raises DataError for a line that is no row."""
    raise DataError(
        f"{path}, line {bad.line}: {bad.reason}. "
        "To leave bad rows out and count them, use --on_bad_row=skip."
    )
