"""Synthetic rows: raw text to ids inside a serving graph, the inverse of `text.tokens`."""

import zlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.column_rules import HOUR, HOUR_WORDS
from pep_tf.data.clicklogs.whole_numbers import ZEROS, without_zeros
from pep_tf.data.field_keys import FieldKeys
from pep_tf.data.lookup import TextLookup
from pep_tf.data.raw import UNKNOWN, RawColumn, refuse
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


class SyntheticTransform(tf.Module):
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
        super().__init__(name="synthetic")
        self.schema, self._shape = schema, shape
        self._columns = columns = get_shape(shape).columns
        with tf.device("CPU"):
            self._fields = [
                _HexIds(column, size)
                if column.kind == "hex"
                else _Tokens(column, tokens(shape, field, np.arange(size)))
                for field, (column, size) in enumerate(zip(columns, schema.sizes, strict=True))
            ]

    def without(self, empty: np.ndarray) -> "SyntheticTransform":
        """See `RawTransform.without`: this one has no vocabulary worth a cut."""
        del empty
        return self

    def raw_columns(self) -> dict[str, RawColumn]:
        """The columns that it reads, string [B]."""
        return {
            c.name: RawColumn(tf.string, _WRITTEN[c.kind][1], missing="") for c in self._columns
        }

    def field_keys(self) -> list[FieldKeys]:
        """See `RawTransform.field_keys`; a text that spells no id adds nothing."""
        return [
            FieldKeys(
                {"name": "vocabulary", "column": column.name},
                tokens(self._shape, field, np.arange(size)).tolist(),
            )
            for field, (column, size) in enumerate(
                zip(self._columns, self.schema.sizes, strict=True)
            )
        ]

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """int32 [B, F], per-field ids or `UNKNOWN`, of `{column: string [B]}`."""
        with tf.device("CPU"):
            values = [raw[column.name] for column in self._columns]
            refused = [
                ~tf.strings.regex_full_match(texts, f"(?:{_WRITTEN[column.kind][0]})?")
                for column, texts in zip(self._columns, values, strict=True)
            ]
            with tf.control_dependencies([refuse(self.raw_columns(), values, refused)]):
                named = zip(self._fields, values, strict=True)
                return tf.stack([field(texts) for field, texts in named], axis=1)


class _Tokens(tf.Module):
    """Numbers and hours to the ids whose tokens they are, whatever zeros are written with them."""

    def __init__(self, column: Column, known: np.ndarray) -> None:
        super().__init__(name=column.name)
        self._kind, self._lookup = column.kind, TextLookup(known, column.name)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        if self._kind == "hour":
            return self._lookup(without_zeros(texts, HOUR))
        texts = tf.strings.regex_replace(without_zeros(texts, _INTEGER), "^(-?)0+([0-9])", r"\1\2")
        return self._lookup(tf.strings.regex_replace(texts, "^-0$", "0"))


class _HexIds(tf.Module):
    """Eight hex digits to the id that they spell, by arithmetic: no vocabulary has to be kept."""

    def __init__(self, column: Column, size: int) -> None:
        super().__init__(name=column.name)
        self._first, self._size = zlib.crc32(column.name.encode()), size

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
            (number - self._first) * inverse, tf.constant(2**32 - 1, tf.int64)
        )
        spelled = (tf.strings.length(texts) == _DIGITS) & tf.reduce_all(digits < _NO_DIGIT, axis=1)
        return tf.cast(tf.where(spelled & (ids < self._size), ids, UNKNOWN), tf.int32)


def _digit_of() -> np.ndarray:
    """int64 [256]: the value of each character as a lower-case hex digit, or `_NO_DIGIT`."""
    table = np.full(256, _NO_DIGIT, np.int64)
    table[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
    return table
