"""One step of Adam on rows that have a gradient: what ends a skipped gap."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pep_tf.device import compiled
from pep_tf.optimizers.catch_up_stages import TINY
from pep_tf.optimizers.columns import Columns


@functools.lru_cache(maxsize=64)
def apply_gradient(columns: Columns) -> Callable:
    """A compiled function for rows with these constants, one pass over them.

    Returns:
        A function of `p` and `moments` as in `catch_up`; `gradient`, float32 [U, C]; and two float32
        scalars that depend on the step's number (`CoupledAdam`): the step is
        `learning_rate * scale * m / (sqrt(n) + floor)`, where 0 / 0 counts as 0. It returns p and
        moments, and is compiled once for each number of rows that it is asked for.
    """
    beta = np.repeat([columns.beta_1, columns.beta_2], columns.count)
    is_m = np.arange(2 * columns.count) < columns.count

    def step(
        p: tf.Tensor, moments: tf.Tensor, gradient: tf.Tensor, scale: tf.Tensor, floor: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        g = gradient + columns.l2 * (p - columns.target)
        # All of a row at once: a stack of m and n would be put together entry by entry.
        twice = tf.tile(g, [1, 2])
        moments = beta * moments + (1 - beta) * (twice * tf.where(is_m, 1.0, twice))
        m, n = tf.split(moments, 2, axis=1)
        root = tf.maximum(tf.sqrt(n) + floor, TINY)
        return p - columns.learning_rate * scale * m / root, moments

    return compiled(step)
