"""What a value of each MovieLens column must be: one rule, for the original files and for requests.

A column of numbers has whole numbers from 0, a year four digits at most. Text is not blank, on one line
and without the `::` that parts the columns of a file; a gender is F or M.
"""

import dataclasses

import tensorflow as tf

from pep_tf.data.raw import RawColumn

_BLANK = r"\t\x0b\x0c\x1c-\x1f \x85\xa0"
_NEVER = r"\x00\n\r"
# In the syntax that Python's `re` and TensorFlow's RE2 share: a first character that is not blank, and
# no colon after a colon. RE2 matches no byte with it that is not UTF-8.
TEXT = rf"[{_BLANK}]*(?::|[^:{_BLANK}{_NEVER}]:?)(?:[^:{_NEVER}]:?)*"
TEXT_WORDS = "text that is not empty, on one line and without ::"
GENDER, GENDER_WORDS = "[FM]", "F or M"
LAST_YEAR = 9999


@dataclasses.dataclass(frozen=True)
class NumberRule:
    """A column of whole numbers from 0 to `largest`; `column` has the rule in words."""

    column: RawColumn
    largest: int

    def refused(self, values: tf.Tensor) -> tf.Tensor:
        """bool [B], whether int64 [B] are values that no file may hold, nor a sign of none."""
        return (values < self.column.missing) | (values > self.largest)


@dataclasses.dataclass(frozen=True)
class TextRule:
    """A column of text that `pattern` matches; `column` has the rule in words."""

    column: RawColumn
    pattern: str

    def refused(self, values: tf.Tensor) -> tf.Tensor:
        """As `NumberRule.refused`, of string [B]."""
        return ~tf.strings.regex_full_match(values, f"(?:{self.pattern})?")


def rule_of(column: str, dtype: tf.DType) -> NumberRule | TextRule:
    """The rule of a column of numbers, int64, or of text, string."""
    if dtype == tf.int64:
        largest = LAST_YEAR if column == "year" else tf.int64.max
        words = f"a year from 0 to {LAST_YEAR}" if column == "year" else "a whole number from 0"
        return NumberRule(RawColumn(tf.int64, words, missing=-1), largest)
    if column == "gender":
        return TextRule(RawColumn(tf.string, GENDER_WORDS, missing=""), GENDER)
    return TextRule(RawColumn(tf.string, f"UTF-8 {TEXT_WORDS}", missing=""), TEXT)
