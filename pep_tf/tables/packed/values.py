"""How the surviving numbers are stored: float32, float16, or int8 with a scale for each block."""

import math

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.octets import take
from pep_tf.tables.packed.stored_table import Arrays

DTYPES = ("float32", "float16", "int8")
ITEM_BYTES = dict(zip(DTYPES, (4, 2, 1), strict=True))
_BLOCK = 64  # values that share a scale, or a row of more: 4 bytes for 64, a sixteenth of int8


class Values:
    """Numbers in the order in which the mask meets them, or rows of them.

    One zero, or one row of zeros, stands before the first: what is read for an absent entry.

    Args:
        arrays: hold `name` and, for int8, `name_scales`; see `encode`.
        name: of these numbers.
        unit: float16 is stored in units of this.
    """

    def __init__(self, arrays: Arrays, name: str, unit: float = 1.0) -> None:
        self._stored, self._scales = arrays[name], arrays.get(f"{name}_scales")
        self._unit = unit

    @staticmethod
    def encode(
        values: np.ndarray, dtype: str, name: str, runs: np.ndarray | None = None
    ) -> tuple[dict[str, np.ndarray], float]:
        """Arrays and unit of these values.

        Args:
            values: float32 [n], or rows of them float32 [n, d].
            dtype: one of `DTYPES`. int8 keeps `round(127 v / max |v|)`, the maximum being that of a
                block: the runs that begin within 64 places, or as many rows as have no more values,
                but one at least. The error is at most 1/254 of it. float16 is kept as the 16 bits of
                an int16, since LiteRT looks up no float16, in units that make the largest value
                about 2^15.
            name: prefix of the arrays' names.
            runs: int [m], lengths of the runs in which values are looked up, n in all; None for rows.
        """
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` must be one of {list(DTYPES)}. Received: {dtype!r}")
        values = np.concatenate([np.zeros_like(values, shape=(1, *values.shape[1:])), values])
        if dtype == "float16":
            stored, unit = _to_float16(values)
            return {name: stored}, unit
        if dtype == "int8":
            first = np.arange(len(values)) if runs is None else _first_of_run(runs)
            stored, scales = _to_int8(values, first // _places_of_scale(values))
            return {name: stored, f"{name}_scales": scales}, 1.0
        return {name: values}, 1.0

    def at(self, places: tf.Tensor, first: tf.Tensor | None = None) -> tf.Tensor:
        """float32, shape of `places`, or of `places` [u] and a row.

        `first` is the place of the first of each run: [..., 1] for places [..., k].
        """
        return self._read(tf.expand_dims(places, -1), first)

    def rows(self, places: tf.Tensor) -> tf.Tensor:
        """float32 [..., d], the rows at places [..., 1]."""
        return self._read(places, None)

    def _read(self, at: tf.Tensor, first: tf.Tensor | None) -> tf.Tensor:
        found = tf.gather_nd(self._stored, at)
        if found.dtype == tf.int16:
            return tf.cast(tf.bitcast(found, tf.float16), tf.float32) * self._unit
        if self._scales is None:
            return found
        first = at if first is None else first
        scales = take(self._scales, first // _places_of_scale(self._stored))
        return tf.cast(found, tf.float32) * scales


def _places_of_scale(values: np.ndarray | tf.Tensor) -> int:
    """Places of `values` [n] or [n, d] that share a scale."""
    return max(1, _BLOCK // math.prod(values.shape[1:]))


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


def _to_int8(values: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 of the same shape, and a scale float32 for each block of `blocks` [n], ascending.

    There is one more, since an empty run may stand behind the last value.
    """
    axes = tuple(range(1, values.ndim))
    scales = np.zeros(blocks[-1] + 2, np.float32)
    np.maximum.at(scales, blocks, np.abs(values).max(axis=axes) / np.float32(127))
    divisors = np.where(scales > 0, scales, 1)[blocks]
    return np.rint(values / np.expand_dims(divisors, axes)).astype(np.int8), scales
