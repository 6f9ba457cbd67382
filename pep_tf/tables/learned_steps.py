"""Numbers rounded in the forward pass to what will be stored: whole multiples of steps that are learned."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.tables.granularity import Granularity
from pep_tf.tables.packed.values import LARGEST, LEARNED

# For a block of zeros, whose largest number cannot be measured: the range of its steps.
_ZEROS = 0.5
_SHARES = np.linspace(0.1, 1.0, 37)
# Unit of a step, which is stored in float16: multiples of it between 2^-24 and 64 are exact.
_UNIT = 2.0**-10


class LearnedSteps:
    """The steps of a table, one per field and column, and the rounding by them (LSQ).

    A number v is stored as `round(clip(v / s, -Q, Q))`, Q being 127 or 7. The gradient of what comes out
    passes v where it is not clipped, as if nothing were rounded; and s, of each number, gets -Q or Q where it
    is clipped and `round(v / s) - v / s` where it is not, times `1 / sqrt(n Q)` for a block of n numbers.

    What is trained is `log(s / s0)`, so that a step of Adam changes s by a share of it, and without L2; s is
    rounded to the float16 that is stored.

    Args:
        dtype: `"lsq8"` or `"lsq4"`.
        field_sizes: rows of each field, N in all; None for a table of one field.
        dim: d.

    Reference:
        Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153.
    """

    def __init__(self, dtype: str, field_sizes: Sequence[int] | None, dim: int) -> None:
        if dtype not in LEARNED:
            raise ValueError(f"`stored_dtype` must be one of {list(LEARNED)}. Received: {dtype!r}")
        self.dtype, self.most = dtype, LARGEST[LEARNED[dtype]]
        self.field_sizes = None if field_sizes is None else list(field_sizes)
        self.shape = (len(field_sizes or [0]), dim)

    def build(self, layer: keras.layers.Layer) -> None:
        """Adds the weights to a layer: s0 and the number of entries of each block, and what is trained."""

        def weight(name: str, initializer: str, trainable: bool) -> keras.Variable:
            return layer.add_weight(
                name=name,
                shape=self.shape,
                dtype="float32",
                initializer=initializer,
                trainable=trainable,
                autocast=False,
            )

        self.first = weight("first_steps", "ones", False)
        self.counts = weight("step_counts", "ones", False)
        self.logs = weight("steps", "zeros", layer.trainable)
        self.logs.decays = False

    def begin(self, table: np.ndarray, kept: np.ndarray) -> None:
        """Starts from the steps by which the rounded entries of a block are nearest to its own.

        Args:
            table: float32 [N, d].
            kept: bool [N, d], its entries.
        """
        first, counts = np.ones(self.shape, np.float32), np.ones(self.shape, np.float32)
        parts = (np.split(own, self._ends()) for own in (table, kept))
        for field, (values, there) in enumerate(zip(*parts, strict=True)):
            for column, own in enumerate(values.T):
                first[field, column] = _nearest(own[there[:, column]], self.most)
            counts[field] = np.maximum(1, there.sum(axis=0))
        self.first.assign(first)
        self.counts.assign(counts)
        self.logs.assign(tf.zeros(self.shape))

    def values(self) -> tf.Tensor:
        """The steps, float32 [F, d], differentiable; each is a float16."""
        steps = self.first * tf.exp(tf.convert_to_tensor(self.logs))
        stored = tf.cast(tf.cast(steps / _UNIT, tf.float16), tf.float32) * _UNIT
        return steps + tf.stop_gradient(stored - steps)

    def rounded(self, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The numbers [..., d] of these table rows [...], rounded as they are stored; see the class."""
        groups = self._groups(rows)
        scale = tf.math.rsqrt(self.most * tf.convert_to_tensor(self.counts))
        return rounded(values, self.values(), scale, groups, self.most)

    def codes(self, block: np.ndarray, first_row: int) -> np.ndarray:
        """The whole numbers stored for a block of rows [n, d], float32."""
        rows = tf.range(first_row, first_row + len(block))
        steps = _of_rows(self.values(), self._groups(rows))
        return np.clip(np.rint(block / steps.numpy()), -self.most, self.most) + np.float32(0)

    def _groups(self, rows: tf.Tensor) -> tf.Tensor | None:
        return Granularity("field_dim").groups(rows, self.field_sizes)

    def _ends(self) -> np.ndarray:
        return np.cumsum(self.field_sizes or [0])[:-1]


def rounded(
    values: tf.Tensor, steps: tf.Tensor, scale: tf.Tensor, groups: tf.Tensor | None, most: int
) -> tf.Tensor:
    """Numbers rounded to whole multiples of their steps, at most so many, with the gradients of LSQ.

    Args:
        values: float32 [..., d].
        steps: float32 [F, d].
        scale: of the gradients of steps, float32 [F, d].
        groups: the row of `steps` for each row of values, integers [...]; None where there is one.
        most: Q.
    """

    @tf.custom_gradient
    def quantized(values: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        own = _of_rows(steps, groups)
        ratio = values / own
        near = tf.round(ratio)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            inside = tf.abs(ratio) < most
            slope = tf.where(inside, near - ratio, most * tf.sign(ratio))
            by_entry = tf.reshape(upstream * slope, [-1, steps.shape[1]])
            of_steps = scale * _summed(by_entry, groups, steps.shape[0])
            return tf.where(inside, upstream, 0.0), of_steps

        return tf.clip_by_value(near, -most, most) * own, gradient

    return quantized(values, steps)


def _of_rows(steps: tf.Tensor, groups: tf.Tensor | None) -> tf.Tensor:
    return steps[0] if groups is None else tf.gather(steps, groups)


def _summed(rows: tf.Tensor, groups: tf.Tensor | None, count: int) -> tf.Tensor:
    """Sums [F, d] of rows [n, d] by group, by a product: a scatter has no order on a GPU."""
    if groups is None:
        return tf.reduce_sum(rows, axis=0, keepdims=True)
    return tf.matmul(tf.one_hot(tf.reshape(groups, [-1]), count), rows, transpose_a=True)


def _nearest(kept: np.ndarray, most: int) -> float:
    """The step, of shares of the largest, with the smallest sum of squared errors."""
    largest = float(np.abs(kept).max(initial=0))
    if not largest:
        return _ZEROS / most
    steps = np.maximum(largest * _SHARES / most, _UNIT * 2.0**-14)
    wholes = np.clip(np.rint(kept[:, None] / steps), -most, most)
    return float(steps[np.argmin(np.square(wholes * steps - kept[:, None]).sum(axis=0))])
