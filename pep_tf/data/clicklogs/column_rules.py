"""What a value of each column must be: one rule, for the lines of a file and for requests.

| column            | a value                                                                  | missing |
|-------------------|--------------------------------------------------------------------------|---------|
| integers          | at most 15 digits, with `-` before them or not; `5.0` is 5               | empty   |
| hours             | YYMMDDHH, a possible month, day and hour; `14102900.0` is 14102900       | never   |
| numbered          | a category, any text; `1005.0` is 1005, as an integer may be written     | empty   |
| all others        | a category, any text, as it is                                           | empty   |

A text has at most 32 bytes, which need not be UTF-8: no tab (Criteo) or comma (Avazu), line break,
carriage return, quote or NUL byte.
"""

import dataclasses

import tensorflow as tf

from pep_tf.data.clicklogs.formats import Format
from pep_tf.data.columns.quantities import INTEGER_WORDS
from pep_tf.data.columns.texts import DIGITS, ZEROS, without_zeros
from pep_tf.data.columns.times import month_and_day
from pep_tf.data.raw import RawColumn
from pep_tf.data.tokens import MAX_TOKEN_BYTES

_LEAP_DAY = "(?:[02468][048]|[13579][26])0229"
HOUR = f"(?:[0-9]{{2}}{month_and_day('')}|{_LEAP_DAY})(?:[01][0-9]|2[0-3])"
HOUR_WORDS = "a date and hour YYMMDDHH"
_DELIMITERS = {b"\t": "tab", b",": "comma"}


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value of a column must be.

    Patterns are written so that Python's `re` and TensorFlow's RE2 read them alike.

    Attributes:
        column: the rule in words, and whether a value may be missing.
        number: of a column of nothing but numbers, matches one without a point; None of categories.
        numbered: whether a whole number may have its point and zeros.
        forbidden: bytes that no category has, as the inside of a regular expression's `[...]`.
    """

    column: RawColumn
    number: str | None = None
    numbered: bool = True
    forbidden: str = ""

    @property
    def pattern(self) -> str:
        """Matches every value that a file may hold, of categories as bytes in Python."""
        if self.number is None:
            return f"[^{self.forbidden}]{{0,{MAX_TOKEN_BYTES}}}"
        return f"(?:{self.number}(?:{ZEROS})?){'' if self.column.missing is None else '?'}"

    def refused(self, values: tf.Tensor) -> tf.Tensor:
        """bool [B], whether string [B] are values that no file may hold."""
        if self.number is not None:
            return ~tf.strings.regex_full_match(values, self.pattern)
        # `\C` of RE2 is any byte, UTF-8 or not.
        forbidden = tf.strings.regex_full_match(values, rf"\C*[{self.forbidden}]\C*")
        return forbidden | (tf.strings.length(values) > MAX_TOKEN_BYTES)

    def read(self, values: tf.Tensor) -> tf.Tensor:
        """Good values, whole numbers without a point and zeros, string [B]."""
        return without_zeros(values, self.number or DIGITS) if self.numbered else values


HOUR_RULE = Rule(RawColumn(tf.string, HOUR_WORDS, None, example="14102100"), HOUR)


def rule_of(fmt: Format, column: str) -> Rule:
    """The rule of a column that holds a feature."""
    if column in fmt.integers:
        return Rule(RawColumn(tf.string, INTEGER_WORDS, missing=""), DIGITS)
    if column in fmt.hours:
        return HOUR_RULE
    delimiter, numbered = fmt.delimiter, column in fmt.numbered
    words = (
        f"text of at most {MAX_TOKEN_BYTES} bytes without {_DELIMITERS[delimiter]}, line break, "
        f"quote or NUL byte{' (5.0 is 5)' if numbered else ''}"
    )
    forbidden = rf'{delimiter.decode()}\n\r\x00"'
    return Rule(RawColumn(tf.string, words, missing=""), None, numbered, forbidden)
