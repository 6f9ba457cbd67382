"""From a raw value to the 64-bit key that names its feature, kind by kind.

| kind          | key                                                                                    |
|---------------|----------------------------------------------------------------------------------------|
| `category`    | the text as it is                                                                      |
| `integer`     | v > 2 gives int(ln(v)^2), else v - 2 (Criteo; the winners of the 2014 challenge)       |
| `hour_of_day` | HH of a text YYMMDDHH                                                                  |
| `weekday`     | 0 (Monday) to 6 of a text YYMMDDHH                                                     |

An empty text is "missing", key 0, which no other has. A key of at most 8 bytes is the text itself, so
short texts never collide; a longer one is folded word by word.
"""

import numpy as np
import tensorflow as tf

from pep_tf.data.columns.categories import text_keys
from pep_tf.data.columns.quantities import log_buckets
from pep_tf.data.columns.texts import MISSING
from pep_tf.data.columns.times import days
from pep_tf.data.field_keys import CODE

# Keys of numbers start here, far from 0 (missing) for every value that 15 digits can give.
_NUMBER = 1 << 32
# How a number becomes its key, in words for another system.
_NUMBERS = {
    "integer": "int(ln(v)^2) of a number v > 2, else v - 2",
    "hour_of_day": "HH of YYMMDDHH",
    "weekday": "the day of YYMMDDHH, 0 is Monday",
}
KINDS = ("category", *_NUMBERS)


def keys_of_texts(kind: str, texts: tf.Tensor) -> tf.Tensor:
    """Keys uint64 of texts of any shape that are good values of a kind; of others any number."""
    if kind == "category":
        return text_keys(texts)
    number = log_buckets(texts) if kind == "integer" else _part_of_hour(kind, texts)
    missing = texts == MISSING
    return tf.cast(tf.where(missing, tf.zeros_like(number), number + _NUMBER), tf.uint64)


def _part_of_hour(kind: str, texts: tf.Tensor) -> tf.Tensor:
    good = tf.strings.regex_full_match(texts, "[0-9]{8}")
    number = tf.strings.to_number(tf.where(good, texts, b"00010100"), tf.int64)
    if kind == "hour_of_day":
        return number % 100
    date = days(2000 + number // 1_000_000, number // 10_000 % 100, number // 100 % 100)
    return (date + 3) % 7


def code_of(kind: str) -> str:
    """How a value of a kind becomes its key, in words for another system."""
    return f"2^32 + {_NUMBERS[kind]}; 0 where missing" if kind in _NUMBERS else CODE


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
