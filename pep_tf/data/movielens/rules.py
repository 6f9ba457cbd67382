"""What a value of each column must be: one rule, for the original files and for requests."""

import dataclasses
import re

import tensorflow as tf

from pep_tf.data.raw import RawColumn

_BLANK = r"\t\x0b\x0c\x1c-\x1f \x85\xa0"
_NEVER = r"\x00\n\r\x1f"


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule that a file's values must keep, and those of a request that are not missing.

    Attributes:
        words: what a value must be, in words that follow "must be".
        pattern: matches the text of a value, in the syntax that Python's `re` and TensorFlow's RE2 share.
        largest: of a column of whole numbers, whose request has int64; None of a column of text.
    """

    words: str
    pattern: str = "[0-9]{1,19}"
    largest: int | None = None

    def good(self, text: str) -> bool:
        """Whether a file may hold a value."""
        found = re.fullmatch(self.pattern, text)
        return bool(found) and (self.largest is None or int(text) <= self.largest)

    def refused(self, values: tf.Tensor) -> tf.Tensor:
        """bool [B], whether values of a request, string or int64 [B], are neither good nor a sign of none."""
        if self.largest is None:
            return ~tf.strings.regex_full_match(values, f"(?:{self.pattern})?")
        return (values < -1) | (values > self.largest)

    @property
    def column(self) -> RawColumn:
        """What a request has."""
        if self.largest is None:
            encoding = "UTF-8 " * self.words.startswith("text")
            return RawColumn(tf.string, encoding + self.words, missing="")
        return RawColumn(tf.int64, self.words, missing=-1)


_WHOLE = Rule("a whole number from 0", largest=2**63 - 1)
# A first character that is not blank, and no colon after a colon. RE2 matches no byte that is not UTF-8.
_TEXT = Rule(
    "text that is not empty, on one line and without ::",
    rf"[{_BLANK}]*(?::|[^:{_BLANK}{_NEVER}]:?)(?:[^:{_NEVER}]:?)*",
)
RULES = {
    **dict.fromkeys(("user", "movie", "timestamp", "age", "occupation"), _WHOLE),
    **dict.fromkeys(("zip", "genres"), _TEXT),
    "rating": Rule("a whole number from 1 to 5", "0*[1-5]", largest=5),
    "gender": Rule("F or M", "[FM]"),
    "title": Rule(
        "a title that ends with its year, as in 'Heat (1995)'",
        r".*\([0-9]{4}\)[\s\x1c-\x1f\x85\xa0]*",
    ),
    "year": Rule("a year from 0 to 9999", "[0-9]{1,4}", largest=9999),
}
