"""How the surviving numbers are stored: float32, float16, or int8 and int4 with a scale for each block."""

import math
from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.tables.packed.octets import half, halves, quotient, take
from pep_tf.tables.packed.stored_table import Arrays

LARGEST = {"int8": 127, "int4": 7}
# Rounded while they are trained (see `LearnedSteps`), and stored with as many bits as these.
LEARNED = {"lsq8": "int8", "lsq4": "int4"}
ROUNDED_LATER = ("float32", "float16", *LARGEST)
DTYPES = (*ROUNDED_LATER, *LEARNED)
ITEM_BYTES = dict(zip(DTYPES, (4, 2, 1, 0.5, 1, 0.5), strict=True))
# How the numbers of all tables are stored, or those of each by its key.
StoredAs = str | Mapping[str, str]
_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_BLOCK = 64  # values that share a scale, or a row of more: of int8 a sixteenth of their bytes


def dtype_of(dtype: StoredAs, table: str) -> str:
    """How the numbers of the table of a key are stored; float32 where that is not told."""
    return dtype if isinstance(dtype, str) else dtype.get(table, "float32")


def rounds(dtype: StoredAs) -> bool:
    """Whether numbers of a table are rounded while they are trained."""
    return any(own in LEARNED for own in ([dtype] if isinstance(dtype, str) else dtype.values()))


def check_stored_as(dtype: StoredAs, tables: Collection[str]) -> None:
    """Raises RunError for an unknown dtype, or that of a table which is not there."""
    by_table = dtype if isinstance(dtype, Mapping) else {}
    for own in by_table.values() if isinstance(dtype, Mapping) else (dtype,):
        if own not in DTYPES:
            raise RunError(f"`dtype` must be one of {list(DTYPES)}. Received: {own!r}")
    if unknown := sorted(set(by_table) - set(tables)):
        raise RunError(
            f"`dtype` must name tables of the model, {list(tables)}. Received: {unknown}"
        )


class Values:
    """Numbers in the order in which the mask meets them, or rows of them.

    One zero, or one row of zeros, stands before the first: what is read for an absent entry.

    Args:
        arrays: hold `name` and, for int8 and int4, `name_scales`; see `encode`.
        name: of these numbers.
        unit: float16, and the scales of int4, are stored in units of this.
        width: numbers in a row; None for numbers that stand by themselves.
    """

    def __init__(
        self, arrays: Arrays, name: str, unit: float = 1.0, width: int | None = None
    ) -> None:
        self._stored, self._scales = arrays[name], arrays.get(f"{name}_scales")
        self._unit, self._width = unit, width

    @staticmethod
    def encode(
        values: np.ndarray, dtype: str, name: str, runs: np.ndarray | None = None
    ) -> tuple[dict[str, np.ndarray], float]:
        """Arrays and unit of these values.

        Args:
            values: float32 [n], or rows of them float32 [n, d].
            dtype: one of `DTYPES`. int8 keeps `round(127 v / max |v|)`, the maximum being that of a
                block: the runs that begin within 64 places, or as many rows as have no more values,
                but one at least. The error is at most 1/254 of it. int4 has 7 in place of 127, two
                numbers to a byte, and scales in float16; the maximum is that share of it, from a half
                on, with which the sum of squared errors is the smallest, and what is above is cut.
                Of lsq8 and lsq4 the values are whole numbers already, and have no scales here.
                float16 is kept as the 16 bits of an int16, since LiteRT looks up no float16, in units
                that make the largest value about 2^15.
            name: prefix of the arrays' names.
            runs: int [m], lengths of the runs in which values are looked up, n in all; None for rows.
        """
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` must be one of {list(DTYPES)}. Received: {dtype!r}")
        values = np.concatenate([np.zeros_like(values, shape=(1, *values.shape[1:])), values])
        if dtype == "float16":
            stored, unit = _to_float16(values)
            return {name: stored}, unit
        if dtype == "float32":
            return {name: values}, 1.0
        if dtype in LEARNED:
            whole = values.astype(np.int8)
            return {name: _to_nibbles(whole) if LEARNED[dtype] == "int4" else whole}, 1.0
        first = np.arange(len(values)) if runs is None else _first_of_run(runs)
        width = values.shape[1] if values.ndim > 1 else None
        blocks, most = first // _places_of_scale(width), LARGEST[dtype]
        scales, unit = _block_maxima(values, blocks) / np.float32(most), 1.0
        if dtype == "int4":
            in_units, unit = _to_float16(_nearest(values, blocks, scales, most))
            whole = _whole_numbers(values, _from_float16(in_units, unit)[blocks], most)
            return {name: _to_nibbles(whole), f"{name}_scales": in_units}, unit
        return {name: _whole_numbers(values, scales[blocks], most), f"{name}_scales": scales}, unit

    def at(self, places: tf.Tensor, first: tf.Tensor | None = None) -> tf.Tensor:
        """float32, shape of `places`, or of `places` [u] and a row.

        `first` is the place of the first of each run: [..., 1] for places [..., k].
        """
        return self._read(tf.expand_dims(places, -1), first)

    def rows(self, places: tf.Tensor) -> tf.Tensor:
        """float32 [..., d], the rows at places [..., 1]."""
        return self._read(places, None)

    def run(self, first: tf.Tensor, counts: tf.Tensor, most: int) -> tf.Tensor:
        """float32 [n, most]: of each row so many numbers, one after the other from its first place.

        Args:
            first, counts: int32 [n, 1]; no count is above `most`.
        """
        columns = tf.expand_dims(tf.range(most), 0)
        there = columns < counts
        if tf.as_dtype(self._stored.dtype) != tf.uint8:
            places = (first + columns) * tf.cast(there, tf.int32)
            return self._read(tf.expand_dims(places, -1), first)
        # Half as many bytes are read, from that of the first number to one behind them all.
        start = quotient(first, 2)
        octets = tf.expand_dims(tf.range(most // 2 + 1), 0)
        odd = first - 2 * start
        places = (start + octets) * tf.cast(2 * octets < counts + odd, tf.int32)
        both = halves(tf.gather_nd(self._stored, tf.expand_dims(places, -1)))
        numbers = tf.reshape(both, [-1, 2 * (most // 2 + 1)])
        found = tf.where(odd > 0, numbers[:, 1 : 1 + most], numbers[:, :most])
        return self._scaled(tf.where(there, found, 0.0), first)

    def _read(self, at: tf.Tensor, first: tf.Tensor | None) -> tf.Tensor:
        if tf.as_dtype(self._stored.dtype) == tf.uint8:
            found = self._nibbles(at)
        else:
            found = tf.gather_nd(self._stored, at)
        if found.dtype == tf.int16:
            return self._of_float16(found)
        return self._scaled(found, at if first is None else first)

    def _scaled(self, found: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        if self._scales is None:
            return tf.cast(found, tf.float32)
        scales = take(self._scales, quotient(first, _places_of_scale(self._width)))
        scales = self._of_float16(scales) if scales.dtype == tf.int16 else scales
        return tf.cast(found, tf.float32) * scales

    def _nibbles(self, at: tf.Tensor) -> tf.Tensor:
        """float32 from -7 to 7, as `_to_nibbles` stored them."""
        if self._width in (None, 1):
            octets = quotient(at, 2)
            odd = at - 2 * octets
            return half(
                tf.gather_nd(self._stored, octets), odd if self._width else tf.squeeze(odd, -1)
            )
        both = halves(tf.gather_nd(self._stored, at))
        rows = tf.reshape(both, tf.concat([tf.shape(at)[:-1], [2 * self._stored.shape[1]]], 0))
        return rows[..., : self._width]

    def _of_float16(self, bits: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.bitcast(bits, tf.float16), tf.float32) * self._unit


def _places_of_scale(width: int | None) -> int:
    """Places that share a scale, of rows of so many numbers or of numbers by themselves."""
    return max(1, _BLOCK // (width or 1))


def _first_of_run(runs: np.ndarray) -> np.ndarray:
    """int64 [1 + n]: for each place the first of its run; place 0, of nothing, is its own."""
    return np.append(0, np.repeat(1 + np.cumsum(runs) - runs, runs)).astype(np.int64)


def _to_float16(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The 16 bits of each value in units that make the largest one about 2^15, and the unit.

    A unit is a power of two, so that it costs no precision, and small values keep all 11 bits.
    """
    largest = float(np.abs(values).max(initial=0))
    unit = 2.0 ** max(math.frexp(largest)[1] - 15, -126) if largest else 1.0
    return (values / np.float32(unit)).astype(np.float16).view(np.int16), unit


def _from_float16(bits: np.ndarray, unit: float) -> np.ndarray:
    return bits.view(np.float16).astype(np.float32) * np.float32(unit)


def _block_maxima(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """The largest size of a value in each block of `blocks` [n], ascending.

    There is one block more, since an empty run may stand behind the last value.
    """
    largest = np.zeros(blocks[-1] + 2, np.float32)
    np.maximum.at(largest, blocks, np.abs(values).max(axis=tuple(range(1, values.ndim))))
    return largest


def _nearest(values: np.ndarray, blocks: np.ndarray, scales: np.ndarray, most: int) -> np.ndarray:
    """Of some shares of each block's scale the one whose numbers are nearest to the values."""
    best, least = scales, np.full(len(scales), np.inf)
    for share in _SHARES:
        tried = np.float32(share) * scales
        again = _whole_numbers(values, tried[blocks], most)
        again = again * np.expand_dims(tried[blocks], tuple(range(1, values.ndim)))
        errors = np.square(again - values).reshape(len(values), -1).sum(axis=1)
        sums = np.bincount(blocks, weights=errors, minlength=len(scales))
        best, least = np.where(sums < least, tried, best), np.minimum(sums, least)
    return best


def nearest_steps(
    values: np.ndarray, groups: np.ndarray, weights: np.ndarray, count: int
) -> np.ndarray:
    """The step of each of `count` groups with the smallest weighted sum of squares, float32, each a float16.

    It is a share of that by which the largest of the group's values [n] is the largest number of 4 bits.
    """
    largest = np.zeros(count, np.float32)
    np.maximum.at(largest, groups, np.abs(values))
    best, least = np.ones(count, np.float32), np.full(count, np.inf)
    for share in np.linspace(0.1, 1.0, 37, dtype=np.float32):
        tried = _from_float16(*_to_float16(largest * share / LARGEST["int4"]))
        errors = whole_numbers(values, tried[groups]) * tried[groups] - values
        sums = np.bincount(groups, weights=weights * np.square(errors), minlength=count)
        better = (sums < least) & (tried > 0)
        best, least = np.where(better, tried, best), np.where(better, sums, least)
    return best


def whole_numbers(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The nearest numbers of 4 bits, int8."""
    return _whole_numbers(values, steps, LARGEST["int4"])


def _whole_numbers(values: np.ndarray, scales: np.ndarray, most: int) -> np.ndarray:
    """int8 of the same shape, from `-most` to `most`, by the scale of each place [n]."""
    divisors = np.expand_dims(np.where(scales > 0, scales, 1), tuple(range(1, values.ndim)))
    return np.clip(np.rint(values / divisors), -most, most).astype(np.int8)


def _to_nibbles(whole: np.ndarray) -> np.ndarray:
    """uint8: two numbers from -8 to 7 per byte, plus 8, the first in the low bits.

    A row begins with a byte, unless it has a single number.
    """
    flat = whole.ndim == 1 or whole.shape[1] == 1
    codes = (whole.reshape(1, -1) if flat else whole).astype(np.int16) + 8
    codes = np.pad(codes, [(0, 0), (0, codes.shape[1] % 2)], constant_values=8)
    stored = (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)
    return stored[0].reshape(-1, *[1] * (whole.ndim - 1)) if flat else stored
