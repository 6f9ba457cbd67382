"""Kinds of columns that are read from a date and time: `hour` and `weekday`."""

from typing import Any, Self

import tensorflow as tf

from pep_tf.data.columns.encoder import Encoder, Seen
from pep_tf.data.field_keys import texts_of

_SECONDS = r"-?[0-9]{1,10}(?:\.[0-9]*)?"


def month_and_day(mark: str) -> str:
    """A pattern of the days that each year has, with a mark between month and day."""
    return (
        f"(?:(?:0[13578]|1[02]){mark}(?:0[1-9]|[12][0-9]|3[01])"
        f"|(?:0[469]|11){mark}(?:0[1-9]|[12][0-9]|30)|02{mark}(?:0[1-9]|1[0-9]|2[0-8]))"
    )


_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = f"(?:[0-9]{{4}}-{month_and_day('-')}|{_LEAP_YEAR}-02-29)"
_TIME = r"(?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:\.[0-9]*)?)?)?"
_ZONE = "(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_WRITTEN = f"{_DATE}(?:[ T]{_TIME}{_ZONE})?"
_HOUR, _DAY = 3600, 86_400


class _PartOfTime(Encoder):
    """A part of a date and time as it is written, whatever its zone; of seconds, that of UTC."""

    must_be = "seconds since 1970, or a date and time such as 2014-10-21 13:45:00"
    whole_numbers = False
    learns = False

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        return cls()

    @classmethod
    def refused(cls, texts: tf.Tensor) -> tf.Tensor:
        return ~tf.strings.regex_full_match(texts, f"(?:{_SECONDS}|{_WRITTEN})?")

    def encoding(self) -> dict[str, Any]:
        return {"name": "vocabulary", "of": type(self).__name__.lower() + ", from 0", "missing": 0}

    def key_texts(self) -> list[bytes]:
        return texts_of(range(self.size - 1), before=1)

    def state(self) -> list[Any]:
        return []

    def encode(self, texts: tf.Tensor) -> tf.Tensor:
        return 1 + tf.cast(self.part(_seconds(texts)), tf.int32)

    @property
    def alike(self) -> Any:
        return type(self)

    @staticmethod
    def part(seconds: tf.Tensor) -> tf.Tensor:
        """The part, from 0, of seconds since 1970, int64 [B]."""
        raise NotImplementedError


class Hour(_PartOfTime):
    """The hour of the day, 0 to 23, by ids 1 to 24."""

    size = 25

    @staticmethod
    def part(seconds: tf.Tensor) -> tf.Tensor:
        return seconds // _HOUR % 24


class Weekday(_PartOfTime):
    """The day of the week, Monday to Sunday, by ids 1 to 7."""

    size = 8

    @staticmethod
    def part(seconds: tf.Tensor) -> tf.Tensor:
        return (seconds // _DAY + 3) % 7


def _seconds(texts: tf.Tensor) -> tf.Tensor:
    """int64 [B], seconds since 1970 of whole hours; of a text that has none, any number."""
    written = tf.strings.regex_full_match(texts, _WRITTEN)
    dates = tf.strings.join([tf.where(written, texts, b"1970-01-01"), " 00"])

    def number(at: int, length: int) -> tf.Tensor:
        return tf.strings.to_number(tf.strings.substr(dates, at, length), tf.int64)

    of_date = days(number(0, 4), number(5, 2), number(8, 2)) * _DAY + number(11, 2) * _HOUR
    numeric = tf.strings.regex_full_match(texts, _SECONDS)
    given = tf.strings.to_number(tf.where(numeric, texts, b"0"), tf.float64)
    return tf.where(written, of_date, tf.cast(tf.floor(given), tf.int64))


def days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970-01-01, a Thursday, in the Gregorian calendar."""
    # Years start in March, so that the leap day is the last of its year: months 0-11, (153m+2)/5 days.
    before_march = (14 - month) // 12
    month = month + 12 * before_march - 3
    year = year - before_march
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (153 * month + 2) // 5 + day - 1 - 719_468
