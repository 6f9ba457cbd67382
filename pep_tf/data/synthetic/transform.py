"""Synthetic rows: raw text to ids inside a serving graph, the inverse of `text.tokens`."""

import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.column_rules import HOUR, HOUR_WORDS
from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.columns.texts import ZEROS, without_zeros
from pep_tf.data.columns.transform import ColumnTransform
from pep_tf.data.lookup import TextLookup
from pep_tf.data.raw import UNKNOWN
from pep_tf.data.schema import FeatureSchema
from pep_tf.data.synthetic.shape import Column, get_shape
from pep_tf.data.synthetic.text import HEX_FACTOR, tokens

_DIGITS = 8
_NO_DIGIT = 16
_INTEGER = "-?[0-9]{1,19}"  # `tokens` gives numbers that fit 64 bits
_INTEGER_WORDS = "an integer of at most 19 digits (5.0 is 5)"
# What may be written in a column of each kind, the empty text aside.
_WRITTEN = {
    "integer": (f"{_INTEGER}(?:{ZEROS})?", _INTEGER_WORDS),
    "decimal": (f"{_INTEGER}(?:{ZEROS})?", _INTEGER_WORDS),
    "hour": (f"{HOUR}(?:{ZEROS})?", HOUR_WORDS),
    "hex": (f"[0-9a-f]{{{_DIGITS}}}", f"{_DIGITS} hexadecimal digits, 0-9 and a-f"),
}


class SyntheticTransform(ColumnTransform):
    """Raw columns, texts all of them, to per-field ids.

    - A text that is not of its column's kind fails the batch, the column named: no row has such.
    - One that is, but spells no id, is `UNKNOWN`. A number is the same however it is written: "5.0" and
      "05" are 5.
    - A missing value, the empty text, is id 0 of Criteo's integer columns and `UNKNOWN` elsewhere.

    Args:
        shape: `"criteo"` or `"avazu"`.
        schema: the fields.

    Raises:
        DataError: an integer column whose ids have no tokens (see `tokens`).
    """

    def __init__(self, shape: str, schema: FeatureSchema) -> None:
        with tf.device("CPU"):
            encoders = {
                column.name: (_HexIds if column.kind == "hex" else _Tokens)(
                    column, shape, place, size
                )
                for place, (column, size) in enumerate(
                    zip(get_shape(shape).columns, schema.sizes, strict=True)
                )
            }
        super().__init__(encoders, {name: name for name in encoders})
        self.fingerprint = ""  # the schema says it all


class _Spelled(Encoder):
    """Texts to the ids whose tokens they are; all ids are kept in a smaller transform."""

    def __init__(self, column: Column, shape: str, place: int, size: int) -> None:
        super().__init__(name=column.name)
        self._kind, self.size = column.kind, size
        self._written, self.must_be = _WRITTEN[column.kind]
        self._shape, self._place = shape, place

    def refused_here(self, texts: tf.Tensor) -> tf.Tensor:
        return ~tf.strings.regex_full_match(texts, f"(?:{self._written})?")

    def state(self) -> list[Any]:
        return []

    def encoding(self) -> dict[str, Any]:
        return {"name": "vocabulary"}  # a text that spells no id adds nothing

    def key_texts(self) -> list[bytes]:
        return self._tokens().tolist()

    def _tokens(self) -> np.ndarray:
        return tokens(self._shape, self._place, np.arange(self.size))


class _Tokens(_Spelled):
    """Numbers and hours, whatever zeros are written with them."""

    def __init__(self, column: Column, shape: str, place: int, size: int) -> None:
        super().__init__(column, shape, place, size)
        self._lookup = TextLookup(self._tokens(), column.name)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        if self._kind == "hour":
            return self._lookup(without_zeros(texts, HOUR))
        texts = tf.strings.regex_replace(without_zeros(texts, _INTEGER), "^(-?)0+([0-9])", r"\1\2")
        return self._lookup(tf.strings.regex_replace(texts, "^-0$", "0"))


class _HexIds(_Spelled):
    """Eight hex digits to the id that they spell, by arithmetic: no vocabulary has to be kept."""

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        characters = tf.io.decode_raw(texts, tf.uint8, fixed_length=_DIGITS)
        digits = tf.gather(tf.constant(_digit_of()), tf.cast(characters, tf.int32))
        weights = tf.constant(16 ** np.arange(_DIGITS - 1, -1, -1))
        number = tf.reduce_sum(
            tf.where(digits == _NO_DIGIT, tf.zeros_like(digits), digits) * weights, 1
        )
        # The product wraps at 2^64; its lower 32 bits are right all the same.
        inverse = tf.constant(pow(HEX_FACTOR, -1, 2**32), tf.int64)
        ids = tf.bitwise.bitwise_and(
            (number - zlib.crc32(self.name.encode())) * inverse, tf.constant(2**32 - 1, tf.int64)
        )
        spelled = (tf.strings.length(texts) == _DIGITS) & tf.reduce_all(digits < _NO_DIGIT, axis=1)
        return tf.cast(tf.where(spelled & (ids < self.size), ids, UNKNOWN), tf.int32)


def _digit_of() -> np.ndarray:
    """int64 [256]: the value of each character as a lower-case hex digit, or `_NO_DIGIT`."""
    table = np.full(256, _NO_DIGIT, np.int64)
    table[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
    return table
