"""From a raw token to the 64-bit key that names its feature: the one definition of each transform.

| kind          | key                                                                                    |
|---------------|----------------------------------------------------------------------------------------|
| `category`    | the token as it is                                                                     |
| `integer`     | v > 2 gives int(ln(v)^2), else v - 2 (Criteo; the winners of the 2014 challenge)       |
| `hour_of_day` | HH of a token YYMMDDHH                                                                 |
| `weekday`     | 0 (Monday) to 6 of a token YYMMDDHH                                                    |

An empty token is "missing", key 0, which no other token has. A key of at most 8 bytes is the token
itself, so short tokens never collide; a longer one is folded word by word.

Every function takes a backend and works on [n, C] arrays of NumPy and TensorFlow alike.
"""

import functools
import math
from typing import Any

import numpy as np

from pep_tf.data.backends import NUMPY, Backend
from pep_tf.data.clicklogs.tokens import KEEP, WORD, Tokens
from pep_tf.data.field_keys import CODE
from pep_tf.data.hashing import mix

KINDS = ("category", "integer", "hour_of_day", "weekday")
MAX_DIGITS = 15
# Keys of numbers start here, far from 0 (missing) for every value that 15 digits can give.
_NUMBER = 1 << 32
_MALFORMED = 1
_SHORT = 2
_MINUS = 0x2D
_HIGH, _LOW = 0xF0F0F0F0F0F0F0F0, 0x0F0F0F0F0F0F0F0F
_ZEROS, _SIXES = 0x3030303030303030, 0x0606060606060606
_POWERS = np.array([10**n for n in range(WORD + 1)], np.uint64)
_SHIFTS = np.array([(256 ** (WORD - n)) % 2**64 for n in range(WORD + 1)], np.uint64)


def number_keys(ops: Backend, kind: str, tokens: Tokens) -> tuple[Any, Any]:
    """Keys uint64 [n, C] of the kinds that read numbers, and where a token is malformed.

    Returns:
        keys, 0 where a token is empty or malformed; bool [n, C], True where it is malformed.
    """
    by_table = ops is NUMPY
    keys = _number_keys_by_table(kind, tokens) if by_table else _number_keys(ops, kind, tokens)
    malformed = keys == ops.u64(_MALFORMED)
    return ops.where(malformed, ops.zeros_like(keys), keys), malformed


def _number_keys(ops: Backend, kind: str, tokens: Tokens) -> Any:
    """Keys, 0 where a token is empty, `_MALFORMED` where it is malformed."""
    number, valid = parse_numbers(ops, tokens)
    if kind == "integer":
        value = log_bucket(ops, number)
    else:
        value = _HOUR_PARTS[kind](number)
        valid = valid & (tokens.lengths == 8) & valid_hours(number)
    key = ops.to_u64(value + _NUMBER)
    rest = ops.where(tokens.lengths > 0, ops.zeros_like(key) + ops.u64(_MALFORMED), ops.u64(0))
    return ops.where(valid, key, rest)


def _number_keys_by_table(kind: str, tokens: Tokens) -> np.ndarray:
    """The same for NumPy: most of Criteo's integers have one digit or two, and there are few of those."""
    table = _short_number_keys(kind)
    first = tokens.words[0].view(np.int64)
    keys = table.take(first, mode="clip")
    longer = np.flatnonzero(tokens.lengths > _SHORT)
    if longer.size:
        rest = Tokens([w.take(longer) for w in tokens.words], tokens.lengths.take(longer))
        keys.reshape(-1)[longer] = _number_keys(NUMPY, kind, rest)
    return keys


@functools.cache
def _short_number_keys(kind: str) -> np.ndarray:
    """uint64 [65536]: the key of every token of at most two bytes, by its word."""
    words = np.arange(1 << (8 * _SHORT), dtype=np.uint64)
    lengths = (words > 0).astype(np.int64) + (words > 0xFF)
    return _number_keys(NUMPY, kind, Tokens([words], lengths))


def code_of(kind: str) -> str:
    """How a value of a kind becomes its key, in words for another system."""
    numbers = {
        "integer": "int(ln(v)^2) of a number v > 2, else v - 2",
        "hour_of_day": "HH of YYMMDDHH",
        "weekday": "the day of YYMMDDHH, 0 is Monday",
    }
    return f"2^32 + {numbers[kind]}; 0 where missing" if kind in numbers else CODE


def texts_of_keys(kind: str, keys: np.ndarray) -> list[bytes]:
    """The text of each key: of a number its decimal, of a category the token, where that is UTF-8.

    The key of a token of more than 8 bytes has none, unless it reads as a text by chance.
    """
    if kind != "category":
        return [str(k - _NUMBER).encode() if k else b"" for k in keys.astype(np.int64).tolist()]
    return [_printable(key) for key in keys.astype("<u8").view("S8").tolist()]


def _printable(token: bytes) -> bytes:
    try:
        return token if token.decode().isprintable() else b""
    except UnicodeDecodeError:
        return b""


def category_keys(ops: Backend, tokens: Tokens) -> Any:
    """The token itself, or a fold of its words when it is longer than 8 bytes."""
    key = tokens.words[0]
    for index, word in enumerate(tokens.words[1:], start=1):
        key = ops.where(tokens.lengths > index * WORD, mix(ops, key) ^ word, key)
    return key


def parse_numbers(ops: Backend, tokens: Tokens) -> tuple[Any, Any]:
    """Decimal integers `-?[0-9]{1,15}` of tokens.

    Eight digits are summed at once inside a word (Lemire, "Quickly parsing eight digits", 2018).

    Returns:
        numbers int64 (the shape of the tokens), and bool: False where a token is no such integer (its number is
        then meaningless) or empty.
    """
    length = tokens.lengths
    first = tokens.words[0]
    negative = (first & ops.u64(0xFF)) == ops.u64(_MINUS)
    sign_byte = ops.to_u64(negative)
    # A minus sign becomes a leading zero digit.
    first = first + sign_byte * ops.u64(0x30 - _MINUS)
    several = len(tokens.words) > 1
    number, valid = _parse_word(ops, first, _clip(ops, length) if several else length)
    valid = valid & (length > ops.to_i64(negative)) & (length <= MAX_DIGITS + ops.to_i64(negative))
    if several:
        rest = _clip(ops, length - WORD)
        tail, digits = _parse_word(ops, tokens.words[1], rest)
        number = number * ops.take(_POWERS, rest) + tail
        valid = valid & digits
    number = ops.to_i64(number)
    return ops.where(negative, -number, number), valid


def _clip(ops: Backend, length: Any) -> Any:
    length = ops.where(length > WORD, ops.zeros_like(length) + WORD, length)
    return ops.where(length < 0, ops.zeros_like(length), length)


def _parse_word(ops: Backend, word: Any, count: Any) -> tuple[Any, Any]:
    """Value of the first `count` bytes of a word as digits, and whether they are all digits."""
    keep = ops.take(KEEP, count)
    zeros = ops.u64(_ZEROS) & keep
    valid = (word & ops.u64(_HIGH)) == zeros
    valid = valid & (((word + (ops.u64(_SIXES) & keep)) & ops.u64(_HIGH)) == zeros)
    # Right-aligned: the bytes shifted in are zero digits. Then pairs, fours and eights are summed.
    x = (word & ops.u64(_LOW)) * ops.take(_SHIFTS, count)
    x = ops.shift_right(x * ops.u64(2561), 8)
    x = ops.shift_right((x & ops.u64(0x00FF00FF00FF00FF)) * ops.u64(6553601), 16)
    x = ops.shift_right((x & ops.u64(0x0000FFFF0000FFFF)) * ops.u64(42949672960001), 32)
    return x, valid


def log_bucket(ops: Backend, number: Any) -> Any:
    """int(ln(v)^2) of numbers v > 2, v - 2 of others; int64, of at most 15 digits."""
    return ops.where(number > 2, ops.steps_up_to(log_steps(), number), number - 2)


@functools.cache
def log_steps() -> np.ndarray:
    """int64 [steps]: the smallest v > 2 with int(ln(v)^2) >= k, for k = 1, 2, ... up to 15 digits.

    A table of exact integers, because two libraries' logarithms may differ in the last bit.
    """
    steps, k = [3], 2
    while (v := int(math.exp(math.sqrt(k)))) < 10**MAX_DIGITS:
        v = max(v - 2, 3)
        while int(math.log(v) ** 2) < k:
            v += 1
        steps.append(v)
        k += 1
    return np.array(steps, np.int64)


def valid_hours(number: Any) -> Any:
    """Whether numbers YYMMDDHH name a possible month, day and hour."""
    month, day, hour = number // 10_000 % 100, number // 100 % 100, number % 100
    return (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (hour <= 23) & (number >= 0)


def _hour_of_day(number: Any) -> Any:
    return number % 100


def _weekday(number: Any) -> Any:
    """From Monday, of a date in the years 2000 to 2099."""
    return (days(2000 + number // 1_000_000, number // 10_000 % 100, number // 100 % 100) + 3) % 7


def days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970-01-01, a Thursday, in the Gregorian calendar; of arrays and tensors alike."""
    # Years start in March, so that the leap day is the last of its year: months 0-11, (153m+2)/5 days.
    before_march = (14 - month) // 12
    month = month + 12 * before_march - 3
    year = year - before_march
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (153 * month + 2) // 5 + day - 1 - 719_468


_HOUR_PARTS = {"hour_of_day": _hour_of_day, "weekday": _weekday}
