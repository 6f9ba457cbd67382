"""Values of a table as texts: what a request sends for them, so that training reads the same.

| value                                  | text                                              |
|----------------------------------------|---------------------------------------------------|
| None, NaN, NaT, `pd.NA`, empty text    | empty: the value is missing                       |
| text                                   | its UTF-8; bytes are taken as they are            |
| number, boolean, date                  | as Python's `str` writes it: 5, 0.1, True, 2024-01-31 10:00:00 |

A whole number may be written 5 or 5.0, which is what pandas makes of it beside a gap: see `plain`.
"""

import dataclasses
import datetime
import decimal
import functools
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf

from pep_tf.data.remembered import through
from pep_tf.data.tokens import text_keys_of
from pep_tf.errors import DataError

MISSING = b""
# Whole numbers, in the syntax that Python's `re` and TensorFlow's RE2 share, and the zeros that programs
# write behind them: 5.0 is what pandas makes of a 5 beside a gap. `.0`, `5.1`, `+5` and `5e0` are none.
MAX_DIGITS = 15
DIGITS = f"-?[0-9]{{1,{MAX_DIGITS}}}"
ZEROS = rf"\.0{{0,{MAX_DIGITS}}}"
_NUMBERS = (bool, int, float, decimal.Decimal, np.bool_, np.number)
_SCALARS = (*_NUMBERS, datetime.date, datetime.time, uuid.UUID)
_SHOWN = 60  # characters of a value in a message

Place = Callable[[int], str]  # where a row is, for messages


def row_of_frame(row: int) -> str:
    """The place of a row of a DataFrame, counted from 0."""
    return f"row {row}"


@dataclasses.dataclass(frozen=True)
class Texts:
    """A column of n texts, of which each is held once.

    Attributes:
        name: of the column.
        distinct: the texts that occur, one of them `MISSING` where a value is missing.
        codes: int64 [n], places in `distinct`.
        place: tells where a row is.
    """

    name: str
    distinct: list[bytes]
    codes: np.ndarray
    place: Place

    def error(self, bad: np.ndarray, must_be: str) -> DataError:
        """Names the first row whose text is among `bad`, bool [distinct]."""
        row = int(np.argmax(bad[self.codes]))
        text = self.distinct[self.codes[row]].decode("utf-8", "replace")
        found = repr(text[:_SHOWN]) if text else "a missing value"
        return DataError(f"`{self.name}` must be {must_be}. Received: {found} in {self.place(row)}")

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """int64 [distinct], bytes of each."""
        return np.fromiter(map(len, self.distinct), np.int64, len(self.distinct))

    @functools.cached_property
    def plain(self) -> list[bytes]:
        """`plain_of` the distinct texts."""
        return plain_of(self.distinct)

    @functools.cached_property
    def keys(self) -> np.ndarray:
        """uint64 [distinct], `text_keys` of those."""
        return text_keys_of(self.plain)

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """The texts of some rows, object [k]."""
        return np.array([self.distinct[code] for code in self.codes[rows]], object)


def texts_of(column: pd.Series, name: str, place: Place = row_of_frame) -> Texts:
    """The values of a column as texts.

    Args:
        column: values of any type of the table above, `pd.Categorical` as well.
        name: of the column.
        place: tells where a row is.

    Raises:
        DataError: a value of another type, such as a list, or a text that has no UTF-8.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(np.int64), list(column.cat.categories)
        return _joined(name, codes, values, place)
    if column.dtype.kind in "biufM":
        found, uniques = pd.factorize(column)
        return _joined(name, found.astype(np.int64), list(uniques), place)
    if (texts := _encoded(column)) is not None:
        return _used(name, *texts, place)
    # What is equal in Python may differ as text: 1, 1.0 and True.
    values = column.tolist()
    return _joined(name, np.arange(len(values)), values, place)


def _joined(name: str, codes: np.ndarray, values: list[Any], place: Place) -> Texts:
    """The column whose row i has the value `values[codes[i]]`, none where that is -1."""
    own = values if set(map(type, values)) == {bytes} else [_text(value) for value in values]
    texts = [*own, MISSING]
    if (bad := next((i for i, text in enumerate(texts) if text is None), None)) is not None:
        row, value = int(np.argmax(codes == bad)), values[bad]
        raise DataError(
            f"`{name}` must hold one value per row: text, a number, a date or nothing. "
            f"Received: {type(value).__name__} {str(value)[:_SHOWN]!r} in {place(row)}"
        )
    places, distinct = pd.factorize(np.array(texts, object))
    return _used(name, distinct.tolist(), places[codes], place)


def _encoded(column: pd.Series) -> tuple[list[bytes], np.ndarray] | None:
    """The distinct texts of a column of nothing but text, bytes and gaps, and the place of each row's.

    None of any other column: pyarrow refuses what is no text, and text that has no UTF-8.
    """
    try:
        if column.dtype == object:
            array = pa.array(column, pa.large_binary(), from_pandas=True)
        else:
            array = pa.array(column.array, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError):
        return None
    chunks = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    if not pa.types.is_dictionary(chunks.type):
        if not is_text(chunks.type):
            return None
        chunks = chunks.dictionary_encode()
    chunks = chunks.unify_dictionaries()
    values = chunks.chunk(0).dictionary if chunks.num_chunks else None
    if values is None or not is_text(values.type) or values.null_count:
        return None
    codes = np.concatenate([c.indices.fill_null(-1).to_numpy() for c in chunks.chunks])
    distinct = values.cast(pa.large_binary()).to_numpy(zero_copy_only=False).tolist()
    if (missing := codes < 0).any():
        distinct += [] if MISSING in distinct else [MISSING]
        codes = np.where(missing, distinct.index(MISSING), codes)
    return distinct, codes.astype(np.int64)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of that type holds texts or bytes."""
    of = pa.types
    return any(
        is_kind(kind)
        for is_kind in (of.is_string, of.is_large_string, of.is_binary, of.is_large_binary)
    )


def _used(name: str, distinct: list[bytes], codes: np.ndarray, place: Place) -> Texts:
    """The column, without texts that no row has."""
    used = np.bincount(codes, minlength=len(distinct)) > 0
    if not used.all():
        distinct = [text for text, own in zip(distinct, used.tolist(), strict=True) if own]
        codes = (np.cumsum(used) - 1)[codes]
    return Texts(name, distinct, codes, place)


def _text(value: Any) -> bytes | None:
    """The text of a value; None where there is none."""
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            return None
    if value is None or value is pd.NA or value is pd.NaT:
        return MISSING
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if not isinstance(value, _SCALARS):
        return None
    return MISSING if value != value else str(value).encode()


def numbers_of(texts: Texts) -> np.ndarray:
    """The distinct texts as numbers; NaN where one is none."""
    written = [text.decode("utf-8", "replace") for text in texts.distinct]
    return pd.to_numeric(pd.Series(written, dtype=object), errors="coerce").to_numpy()


def refuse_rounded(column: pd.Series, name: str, place: Place = row_of_frame) -> None:
    """Refuses numbers that may have lost digits: whole numbers too large for the floats they are in.

    Raises:
        DataError: such a number.
    """
    if column.dtype.kind == "f":
        values = column.to_numpy(np.float64, na_value=np.nan)
        size = getattr(column.dtype, "numpy_dtype", column.dtype)
    elif column.dtype == object and pd.api.types.infer_dtype(column) not in ("string", "bytes"):
        floats = [v if isinstance(v, float | np.floating) else 0.0 for v in column]
        values = np.array(floats, float)
        size = min(map(np.dtype, set(map(type, floats))), default=np.dtype(float))
    else:
        return
    limit = 2.0 ** (np.finfo(size).nmant + 1)
    large = np.abs(values) >= limit
    if large.any():
        row = int(np.argmax(large))
        raise DataError(
            f"`{name}` must have whole numbers below {limit:.0f} while it is {size}, which "
            f"rounds larger ones: read it as text, or as Int64. Received: {values[row]} in "
            f"{place(row)}"
        )


def without_zeros(texts: tf.Tensor, digits: str = DIGITS) -> tf.Tensor:
    """Texts without the point and the zeros of `digits` followed by `ZEROS`; others as they are."""
    return tf.strings.regex_replace(texts, f"^({digits}){ZEROS}$", r"\1", replace_global=False)


def plain(texts: tf.Tensor) -> tf.Tensor:
    """Texts string [B] with whole numbers as integers are written: 5.0 is 5, -0.0 is 0."""
    texts = tf.strings.regex_replace(texts, r"^(-?[0-9]{1,19})\.0*$", r"\1", replace_global=False)
    return tf.strings.regex_replace(texts, "^-0$", "0", replace_global=False)


def plain_of(texts: list[bytes]) -> list[bytes]:
    """`plain` of texts, which is asked only where it may change one; the same list where none is changed."""
    joined = b"".join(texts)
    if b"." not in joined and b"-0" not in joined:
        return texts
    places = [i for i, text in enumerate(texts) if b"." in text or text == b"-0"]
    made = through(plain, [texts[place] for place in places]).tolist()
    found = list(texts)
    for place, text in zip(places, made, strict=True):
        found[place] = text
    return texts if found == texts else found
