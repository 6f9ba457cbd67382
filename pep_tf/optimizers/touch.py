"""One step of Adam on rows that have a gradient: what ends a skipped gap."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from pep_tf.optimizers.columns import Columns, joined, parted
from pep_tf.optimizers.hyper import Hyper


@functools.lru_cache(maxsize=64)
def touch(hypers: tuple[Hyper, ...], dims: tuple[int, ...]) -> Callable:
    """A compiled function for weights with these constants, one pass over their rows.

    Returns:
        A function of `values` and `moments` as in `catch_up`; `gradients`, float32 [U, d] each; and
        two float32 scalars that depend on the step's number (`CoupledAdam`): the step is
        `learning_rate * scale * m / (sqrt(n) + floor)`. It returns values and moments, and is
        compiled once for each number of rows that it is asked for.
    """
    hyper = Columns.of(hypers, dims)

    @tf.function(jit_compile=True, autograph=False)
    def touched(
        values: tuple[tf.Tensor, ...],
        moments: tf.Tensor,
        gradients: Sequence[tf.Tensor],
        scale: tf.Tensor,
        floor: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        p, m, n = joined(values, moments)
        g = tf.concat(gradients, axis=1) + hyper.l2 * (p - hyper.target)
        m = hyper.beta_1 * m + (1 - hyper.beta_1) * g
        n = hyper.beta_2 * n + (1 - hyper.beta_2) * tf.square(g)
        p -= hyper.learning_rate * scale * m / (tf.sqrt(n) + floor)
        return parted(p, m, n, dims)

    return touched
