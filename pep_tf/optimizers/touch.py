"""One step of Adam on rows that have a gradient: what ends a skipped gap."""

import functools
from collections.abc import Callable

import tensorflow as tf

from pep_tf.optimizers.columns import Columns


@functools.lru_cache(maxsize=64)
def touch(columns: Columns) -> Callable:
    """A compiled function for rows with these constants, one pass over them.

    Returns:
        A function of `p` and `moments` as in `catch_up`; `gradient`, float32 [U, C]; and two float32
        scalars that depend on the step's number (`CoupledAdam`): the step is
        `learning_rate * scale * m / (sqrt(n) + floor)`. It returns p and moments, and is compiled
        once for each number of rows that it is asked for.
    """

    @tf.function(jit_compile=True, autograph=False)
    def touched(
        p: tf.Tensor, moments: tf.Tensor, gradient: tf.Tensor, scale: tf.Tensor, floor: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        m, n = tf.split(moments, 2, axis=1)
        g = gradient + columns.l2 * (p - columns.target)
        m = columns.beta_1 * m + (1 - columns.beta_1) * g
        n = columns.beta_2 * n + (1 - columns.beta_2) * tf.square(g)
        p -= columns.learning_rate * scale * m / (tf.sqrt(n) + floor)
        # In a stack they are written to their places; a concatenation would copy them there.
        return p, tf.reshape(tf.stack([m, n], axis=1), tf.shape(moments))

    return touched
