"""The handful of array functions that NumPy and TensorFlow spell differently.

The transforms of `keys.py` and `transform.py` are written once, against one of these two: `NUMPY` runs
them in preparation and in streaming from text, `TENSORFLOW` inside a serving graph.
"""

from typing import Any

import numpy as np
import tensorflow as tf


class NumpyBackend:
    """Functions on `np.ndarray`."""

    where: Any = staticmethod(np.where)
    zeros_like: Any = staticmethod(np.zeros_like)

    @staticmethod
    def u64(value: Any) -> np.ndarray:
        return np.asarray(value, np.uint64)

    @staticmethod
    def to_u64(x: np.ndarray) -> np.ndarray:
        return x.astype(np.uint64)

    @staticmethod
    def to_i64(x: np.ndarray) -> np.ndarray:
        return x.astype(np.int64)

    @staticmethod
    def to_i32(x: np.ndarray) -> np.ndarray:
        return x.astype(np.int32)

    @staticmethod
    def shift_right(x: np.ndarray, bits: int) -> np.ndarray:
        return x >> np.uint64(bits)

    @staticmethod
    def take(table: np.ndarray, index: np.ndarray) -> np.ndarray:
        return table.take(index)

    @staticmethod
    def columns(x: np.ndarray, index: list[int]) -> np.ndarray:
        if index == list(range(index[0], index[-1] + 1)):
            # Contiguous: what follows is then several times faster.
            return np.ascontiguousarray(x[:, index[0] : index[-1] + 1])
        return x[:, index]

    @staticmethod
    def concat(parts: list[np.ndarray]) -> np.ndarray:
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    @staticmethod
    def steps_up_to(steps: np.ndarray, x: np.ndarray) -> np.ndarray:
        """How many of the sorted `steps` are at most x, int64."""
        return np.searchsorted(steps, x, side="right")


class TensorFlowBackend:
    """The same functions on `tf.Tensor`."""

    where: Any = staticmethod(tf.where)
    zeros_like: Any = staticmethod(tf.zeros_like)

    @staticmethod
    def u64(value: Any) -> tf.Tensor:
        return tf.constant(np.asarray(value, np.uint64))

    @staticmethod
    def to_u64(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.uint64)

    @staticmethod
    def to_i64(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.int64)

    @staticmethod
    def to_i32(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.int32)

    @staticmethod
    def shift_right(x: tf.Tensor, bits: int) -> tf.Tensor:
        return tf.bitwise.right_shift(x, tf.constant(bits, tf.uint64))

    @staticmethod
    def take(table: np.ndarray, index: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(table), index)

    @staticmethod
    def columns(x: tf.Tensor, index: list[int]) -> tf.Tensor:
        return tf.gather(x, index, axis=1)

    @staticmethod
    def concat(parts: list[tf.Tensor]) -> tf.Tensor:
        return tf.concat(parts, axis=1)

    @staticmethod
    def steps_up_to(steps: np.ndarray, x: tf.Tensor) -> tf.Tensor:
        flat = tf.searchsorted(tf.constant(steps), tf.reshape(x, [-1]), side="right")
        return tf.cast(tf.reshape(flat, tf.shape(x)), tf.int64)


Backend = type[NumpyBackend] | type[TensorFlowBackend]
NUMPY = NumpyBackend
TENSORFLOW = TensorFlowBackend
