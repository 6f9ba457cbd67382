"""What a good line is, as one regular expression, and what to say of a bad one."""

import dataclasses
import re

from pep_tf.data.clicklogs.column_rules import rule_of
from pep_tf.data.clicklogs.formats import FORMATS, MAX_LINE_BYTES, Format
from pep_tf.data.tokens import MAX_TOKEN_BYTES

_BOM = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class BadLine:
    """A line that is no row: its number in the file (from 1), why, and its first 80 bytes."""

    line: int
    reason: str
    start: bytes


class LineRule:
    """Tells good lines of a format from bad ones."""

    def __init__(self, fmt: Format) -> None:
        self._format = fmt
        self._rules = {c: rule_of(fmt, c) for c in fmt.columns if c != fmt.label}
        self._patterns = [re.compile(self._pattern(c)) for c in fmt.columns]
        self._line = re.compile(re.escape(fmt.delimiter).join(p.pattern for p in self._patterns))

    def _pattern(self, column: str) -> bytes:
        if column == self._format.label:
            return rb"[01]"
        return self._rules[column].pattern.encode()

    def fault(self, line: bytes) -> str | None:
        """Why `line` (without its newline) is bad, or None when it is good."""
        return None if self._line.fullmatch(line) else self._reason(line)

    def _reason(self, line: bytes) -> str:
        if len(line) > MAX_LINE_BYTES:
            return f"line of {len(line)} bytes (the limit is {MAX_LINE_BYTES})"
        if not line:
            return "empty line"
        if line.startswith(_BOM):
            return "UTF-8 byte order mark at the start; save the file without it"
        if b"\0" in line:
            return "NUL byte"
        if b"\r" in line:
            return "carriage return (CRLF line ends); convert the file with dos2unix"
        if b'"' in line:
            return "quote character; the format has none"
        return self._column_reason(line)

    def _column_reason(self, line: bytes) -> str:
        tokens, width = line.split(self._format.delimiter), len(self._format.columns)
        if len(tokens) != width:
            return f"{len(tokens)} columns, {self._format.name} has {width}"
        for name, token, pattern in zip(self._format.columns, tokens, self._patterns, strict=True):
            if not pattern.fullmatch(token):
                return self._token_reason(name, token)
        raise AssertionError(f"no fault found in {line!r}")

    def _token_reason(self, name: str, token: bytes) -> str:
        shown = token[:40].decode("utf-8", "replace")
        if name == self._format.label:
            return f"label {name!r} must be 0 or 1, not {shown!r}"
        rule = self._rules[name]
        if rule.number is not None:
            return f"field {name!r} must be {rule.column.must_be}, not {shown!r}"
        return f"field {name!r} must have at most {MAX_TOKEN_BYTES} bytes, not {len(token)}"


def first_line_fault(fmt: Format, line: bytes) -> str | None:
    """Why a file whose first line is `line` is no file of this format at all, or None."""
    line = line.rstrip(b"\r\n")
    for other in FORMATS.values():
        if other is not fmt and (line == other.header_line or _width(other, line)):
            return f"this looks like the {other.name} file, {fmt.name} was asked for"
    if fmt.header and line != fmt.header_line:
        if line == _BOM + fmt.header_line:
            return "UTF-8 byte order mark at the start; save the file without it"
        return f"line 1 must be the header {fmt.header_line.decode()}"
    if not fmt.header and line.removeprefix(_BOM).lower() == fmt.header_line.lower():
        return f"line 1 is a header; {fmt.name} has none, remove it"
    return None


def _width(fmt: Format, line: bytes) -> bool:
    return len(line.split(fmt.delimiter)) == len(fmt.columns)
