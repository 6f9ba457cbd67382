"""How the surviving numbers are stored: float32, float16, or int8 with a scale for each block."""

import math

import numpy as np
import tensorflow as tf

from pep_tf.export.octets import look

DTYPES = ("float32", "float16", "int8")
_BLOCK = 64  # values that share a scale, or a row of more: 4 bytes for 64, a sixteenth of int8


class Values(tf.Module):
    """Numbers in the order in which the mask meets them, or rows of them.

    Args:
        values: float32 [n], or rows of them float32 [n, d].
        dtype: one of `DTYPES`. int8 keeps `round(127 v / max |v|)`, the maximum being that of a
            block: 64 neighbours, or as many rows as have no more, but one at least. The error is at
            most 1/254 of it. float16 is kept as the 16 bits of an int16, since LiteRT looks up no
            float16, in units that make the largest value about 2^15.
        name: prefix of the variables' names.

    One zero, or one row of zeros, is put before the first: what is read for an absent entry.
    """

    def __init__(self, values: np.ndarray, dtype: str, name: str) -> None:
        super().__init__(name=f"{name}_values")
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` must be one of {list(DTYPES)}. Received: {dtype!r}")
        values = np.concatenate([np.zeros_like(values, shape=(1, *values.shape[1:])), values])
        self._row = values.shape[1:]
        self._block = max(1, _BLOCK // values[0].size)  # places that share a scale
        self.scales: tf.Variable | None = None
        stored = values
        if dtype == "float16":
            stored, self._unit = _to_float16(values)
        elif dtype == "int8":
            stored, scales = _to_int8(values, self._block)
            self.scales = tf.Variable(scales, trainable=False, name=f"{name}_scales")
        self.stored = tf.Variable(stored, trainable=False, name=f"{name}_values")
        self.nbytes = stored.nbytes + (0 if self.scales is None else 4 * self.scales.shape[0])

    def at(self, places: tf.Tensor) -> tf.Tensor:
        """float32, shape of `places`, or of `places` and a row."""
        found = look(self.stored.read_value(), places)
        if found.dtype == tf.int16:
            return tf.cast(tf.bitcast(found, tf.float16), tf.float32) * self._unit
        if self.scales is None:
            return found
        scales = look(self.scales.read_value(), places // self._block)
        return tf.cast(found, tf.float32) * (tf.expand_dims(scales, -1) if self._row else scales)


def _to_float16(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The 16 bits of each value in units that make the largest one about 2^15, and the unit.

    A unit is a power of two, so that it costs no precision, and small values keep all 11 bits.
    """
    largest = float(np.abs(values).max(initial=0))
    unit = 2.0 ** max(math.frexp(largest)[1] - 15, -126) if largest else 1.0
    return (values / np.float32(unit)).astype(np.float16).view(np.int16), unit


def _to_int8(values: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 of the same shape and float32 [ceil(n / block)], one scale for `block` rows."""
    padded = np.zeros((-(-len(values) // block), block * values[0].size), np.float32)
    padded.reshape(-1)[: values.size] = values.reshape(-1)
    scales = np.abs(padded).max(1) / np.float32(127)
    stored = np.rint(padded / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    return stored.reshape(-1)[: values.size].reshape(values.shape), scales
