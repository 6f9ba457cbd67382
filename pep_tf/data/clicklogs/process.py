"""Every block of a raw file through a function, on several threads, the results in file order."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import tqdm

from pep_tf.data.clicklogs.build import ClickLogOptions
from pep_tf.data.clicklogs.content import ContentDigest
from pep_tf.data.clicklogs.formats import Feature, Format
from pep_tf.data.clicklogs.parse import ParsedBlock, Parser
from pep_tf.data.clicklogs.strict import BadLine, LineRule
from pep_tf.data.clicklogs.text import BLOCK_BYTES, TextBlock, read_blocks
from pep_tf.errors import DataError

Result = TypeVar("Result")
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


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A raw file and how to read it.

    Attributes:
        path: text or gzip.
        format: `CRITEO` or `AVAZU`.
        options: which fields are wanted, and whether the first bad line stops or all are counted.
        workers: threads that parse.
        progress: shows a bar with the time left.
        block_bytes: text a block.
    """

    path: pathlib.Path
    format: Format
    options: ClickLogOptions
    workers: int = 2
    progress: bool = False
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise DataError(f"`workers` must be at least 1. Received: {self.workers}")

    @functools.cached_property
    def features(self) -> tuple[Feature, ...]:
        """The fields, in order."""
        return self.options.features(self.format)

    def examples(self, columns: Sequence[str], rows: int = 2) -> dict[str, np.ndarray]:
        """The raw text of the first good rows: `{column: bytes [rows]}`, fewer in a shorter file."""
        rule, delimiter = LineRule(self.format), self.format.delimiter
        lines = itertools.chain.from_iterable(
            text.data.split(b"\n") for text in read_blocks(self.path, self.format, 1 << 16)
        )
        good = (line.split(delimiter) for line in lines if not rule.fault(line))
        parts = list(itertools.islice(good, rows))
        place = self.format.columns.index
        return {c: np.array([part[place(c)] for part in parts], object) for c in columns}

    def map(
        self,
        function: Callable[[ParsedBlock], Result],
        counts: LineCounts,
        title: str,
        content: ContentDigest | None = None,
    ) -> Iterator[tuple[TextBlock, Result]]:
        """Yields (text block, `function(parsed block)`) in file order.

        `counts`, and `content` if it is given, grow as it goes.

        Raises:
            DataError: see `read_blocks`; a bad line with `on_bad_row="error"`; no good line at all.
        """
        parser = Parser(self.format, self.features)

        def work(text: TextBlock) -> tuple[TextBlock, ParsedBlock, Result | None]:
            parsed = parser.parse_block(text.data, text.first_line)
            if parsed.bad and self.options.on_bad_row == "error":
                return text, parsed, None
            return text, parsed, function(parsed)

        digest = None if content is None else content.text
        blocks = read_blocks(self.path, self.format, self.block_bytes, digest)
        with (
            tqdm.tqdm(
                total=os.path.getsize(self.path) if self.path.is_file() else None,
                desc=title,
                unit="B",
                unit_scale=True,
                disable=not self.progress,
            ) as bar,
            concurrent.futures.ThreadPoolExecutor(self.workers) as pool,
        ):
            # A few blocks in flight, never the file: memory stays flat.
            first = itertools.islice(blocks, 2 * self.workers)
            waiting = collections.deque(pool.submit(work, block) for block in first)
            while waiting:
                text, parsed, result = waiting.popleft().result()
                counts.add(parsed)
                if content is not None:
                    content.add(parsed)
                if result is None:
                    refuse_line(self.path, parsed.bad[0])
                else:
                    yield text, result
                if (following := next(blocks, None)) is not None:
                    waiting.append(pool.submit(work, following))
                bar.update(text.end - bar.n)
        counts.require_rows(self.path)


def refuse_line(path: object, bad: BadLine) -> None:
    """Raises DataError for a line that is no row."""
    raise DataError(
        f"{path}, line {bad.line}: {bad.reason}. "
        "To leave bad rows out and count them, use --on_bad_row=skip."
    )
