"""One step of Adam on rows that have a gradient: what ends a skipped gap."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from pep_tf.optimizers.catch_up_stages import State, packed, unpacked
from pep_tf.optimizers.hyper import Hyper


@functools.lru_cache(maxsize=64)
def touch(hypers: tuple[Hyper, ...]) -> Callable:
    """A compiled function for weights with these constants, one pass over their rows.

    Returns:
        A function of `values`, `moments` as in `catch_up`; `gradients`, float32 [U, d] each;
        `sizes`, float32 scalars, and `floor`, float32 scalar, from the step's number
        (`CoupledAdam`): the step is `size * m / (sqrt(n) + floor)`. It returns values and moments,
        and is compiled once for each number of rows that is asked for.
    """

    @tf.function(jit_compile=True, autograph=False)
    def touched(
        values: tuple[tf.Tensor, ...],
        moments: tf.Tensor,
        gradients: Sequence[tf.Tensor],
        sizes: Sequence[tf.Tensor],
        floor: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        found = zip(unpacked(values, moments), gradients, sizes, hypers, strict=True)
        return packed(_stepped(*weight, floor) for weight in found)

    return touched


def _stepped(
    state: State, gradient: tf.Tensor, size: tf.Tensor, hyper: Hyper, floor: tf.Tensor
) -> State:
    value, m, n = state
    gradient = gradient + hyper.l2 * (value - hyper.target)
    m = hyper.beta_1 * m + (1 - hyper.beta_1) * gradient
    n = hyper.beta_2 * n + (1 - hyper.beta_2) * tf.square(gradient)
    return State(value - size * m / (tf.sqrt(n) + floor), m, n)
