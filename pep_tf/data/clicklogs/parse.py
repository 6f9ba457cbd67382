"""Lines of text to labels and tokens, at a million rows per second, with nothing dropped in silence.

`parse_block` first tries the whole block with array operations. These accept exactly what the regular
expression of `strict.py` accepts line by line (a test fuzzes that); when a block holds anything else, the
lines are checked one by one, the bad ones are named, and the good ones go through the same array code.
"""

import dataclasses
import re
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.column_rules import HOUR_RULE, Rule, rule_of
from pep_tf.data.clicklogs.formats import Feature, Format
from pep_tf.data.clicklogs.keys import KINDS, keys_of_texts
from pep_tf.data.clicklogs.strict import BadLine, LineRule
from pep_tf.data.columns.texts import DIGITS, ZEROS
from pep_tf.data.remembered import Remembered
from pep_tf.data.tokens import MAX_TOKEN_BYTES, Tokens, tokens_of_buffer
from pep_tf.errors import DataError

_NEWLINE = 10
_POINTED = re.compile(rf"({DIGITS}){ZEROS}".encode())
_FORBIDDEN = (b"\0", b"\r", b'"')


class NumberKeys:
    """Keys of numbers, by the code that a request goes through.

    Args:
        kind: of the numbers, see `keys.py`.
        rule: tells what is malformed.
    """

    def __init__(self, kind: str, rule: Rule) -> None:
        def refused_and_key(texts: tf.Tensor) -> tf.Tensor:
            refused = tf.cast(rule.refused(texts), tf.uint64)
            return tf.stack([refused, keys_of_texts(kind, texts)], axis=1)

        self._read = Remembered(refused_and_key)

    def __call__(self, tokens: Tokens) -> np.ndarray | None:
        """uint64, the shape of the tokens; None where one is malformed. Safe in several threads."""
        texts, places = tokens.distinct()
        refused, keys = self._read(texts).T
        return None if refused.any() else keys[places]


@dataclasses.dataclass(frozen=True)
class ParsedBlock:
    """What came out of a block of lines.

    Attributes:
        lines: int64 [n], the line number in the file (from 1) of each good row.
        rows: int64 [n], row numbers, from 0: the same less one, less the header.
        labels: uint8 [n], 0 or 1.
        keys: uint64 [n, F], see `keys.py`.
        bad: the bad lines, in order.
    """

    lines: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    keys: np.ndarray
    bad: list[BadLine]


class Parser:
    """Parses blocks of whole lines of one format.

    Args:
        fmt: the text format.
        features: the fields whose keys are wanted, in order.
    """

    def __init__(self, fmt: Format, features: tuple[Feature, ...]) -> None:
        self._format = fmt
        self._rule = LineRule(fmt)
        self._delimiter = fmt.delimiter[0]
        self._label = fmt.columns.index(fmt.label)
        # Fields of one kind are computed together: their places, their columns, and what finds the keys.
        self._groups: list[tuple[list[int], list[int], Any]] = []
        for kind in KINDS:
            if group := [i for i, f in enumerate(features) if f.kind == kind]:
                rule = rule_of(fmt, features[group[0]].column)
                keys: Any = Tokens.keys if kind == "category" else NumberKeys(kind, rule)
                columns = [fmt.columns.index(features[i].column) for i in group]
                self._groups.append((group, columns, keys))
        self._num_fields = len(features)
        self._hour_keys = NumberKeys("weekday", HOUR_RULE)
        self._hours = [fmt.columns.index(c) for c in fmt.hours]
        whole = (*fmt.integers, *fmt.hours, *fmt.numbered)
        self._whole = [fmt.columns.index(c) for c in whole]
        if missing := set(fmt.integers) - {f.column for f in features if f.kind == "integer"}:
            raise DataError(f"`features` must read the integers {sorted(missing)} as such.")

    def parse_block(self, data: bytes, first_line: int) -> ParsedBlock:
        """Parses whole lines, the header not among them.

        Args:
            data: lines, each ended by a newline; only the last may lack it.
            first_line: line number of the first one, from 1.
        """
        if data and not data.endswith(b"\n"):
            data += b"\n"
        fast = self._parse_clean(data)
        if fast is not None:
            lines = np.arange(first_line, first_line + len(fast[0]), dtype=np.int64)
            return self._block(lines, fast, [])
        return self._parse_line_by_line(data, first_line)

    def _parse_line_by_line(self, data: bytes, first_line: int) -> ParsedBlock:
        good, numbers, bad = [], [], []
        texts = data[:-1].split(b"\n")
        for number, line in enumerate(texts, start=first_line):
            if reason := self._rule.fault(line):
                bad.append(BadLine(number, reason, line[:80]))
            else:
                good.append(line)
                numbers.append(number)
        clean = self._parse_clean(b"".join(line + b"\n" for line in good))
        if clean is None:
            raise AssertionError("the two parsers disagree on what a good line is")
        return self._block(np.array(numbers, np.int64), clean, bad)

    def _block(
        self, lines: np.ndarray, clean: tuple[np.ndarray, np.ndarray], bad: list[BadLine]
    ) -> ParsedBlock:
        rows = lines - 1 - int(self._format.header)
        return ParsedBlock(lines, rows, *clean, bad)

    def _parse_clean(self, data: bytes) -> tuple[np.ndarray, np.ndarray] | None:
        """Labels and keys, or None when any line is bad."""
        if any(byte in data for byte in _FORBIDDEN):
            return None
        if b"." in data:  # which no file has that the competitions gave out
            data = b"".join(self._without_points(line) + b"\n" for line in data[:-1].split(b"\n"))
        padded = np.frombuffer(data + bytes(MAX_TOKEN_BYTES), np.uint8)
        ends = self._ends(padded[: len(data)])
        if ends is None:
            return None
        starts = np.empty_like(ends)
        starts.reshape(-1)[:1] = 0
        np.add(ends.reshape(-1)[:-1], 1, out=starts.reshape(-1)[1:])
        lengths = ends - starts
        if lengths.max(initial=0) > MAX_TOKEN_BYTES:
            return None
        labels = padded[starts[:, self._label]] - np.uint8(ord("0"))
        if (lengths[:, self._label] != 1).any() or (labels > 1).any():
            return None
        if self._hours:  # which are categories, perhaps
            hours = _tokens(padded, starts, lengths, self._hours)
            if self._hour_keys(hours) is None:
                return None
        keys = np.empty((len(ends), self._num_fields), np.uint64)
        for group, columns, keys_of in self._groups:
            if (found := keys_of(_tokens(padded, starts, lengths, columns))) is None:
                return None
            keys[:, group] = found
        return labels, keys

    def _without_points(self, line: bytes) -> bytes:
        """A line whose whole numbers are written as integers are: 5.0 is 5."""
        tokens = line.split(self._format.delimiter)
        for column in self._whole:
            if column < len(tokens) and (found := _POINTED.fullmatch(tokens[column])):
                tokens[column] = found[1]
        return self._format.delimiter.join(tokens)

    def _ends(self, text: np.ndarray) -> np.ndarray | None:
        """int64 [n, columns]: where each token ends, or None when a line has another column count."""
        is_end = text == self._delimiter
        is_end |= text == _NEWLINE
        found = np.flatnonzero(is_end)
        width = len(self._format.columns)
        if len(found) % width:
            return None
        ends: np.ndarray = found.reshape(-1, width)
        at_ends = text[ends[:, -1]]
        # As many newlines as rows, each at the last place, leaves delimiters everywhere else.
        if (at_ends != _NEWLINE).any() or np.count_nonzero(text == _NEWLINE) != len(ends):
            return None
        return ends


def _tokens(
    padded: np.ndarray, starts: np.ndarray, lengths: np.ndarray, columns: list[int]
) -> Tokens:
    places = Tokens([starts], lengths).columns(columns)
    return tokens_of_buffer(padded, places.words[0], places.lengths)
