"""Weights that share their rows, side by side: the constants of each column, and how they are laid out."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pep_tf.optimizers.hyper import Hyper

_MILD = 20.0


@dataclasses.dataclass(frozen=True)
class Columns:
    """Constants of the update of C columns, which belong to one weight or to several.

    Attributes:
        learning_rate, l2, target: float64 [C], or a number if it is the same for all.
        beta_1, beta_2, epsilon: numbers.
        bits: a gap is cut into stages by its digits in base `2**bits`. Stages are twice as many in
            base 2, which is needed where one step can move an entry by much of itself: its size is
            at most `learning_rate * l2 / epsilon` of it.
    """

    learning_rate: np.ndarray | float
    l2: np.ndarray | float
    target: np.ndarray | float
    beta_1: float
    beta_2: float
    epsilon: float
    bits: int

    @classmethod
    def of(cls, hypers: Sequence[Hyper], dims: Sequence[int]) -> "Columns":
        """The constants of weights of `dims` columns each."""

        def by_column(name: str) -> np.ndarray | float:
            values = [getattr(hyper, name) for hyper in hypers]
            return values[0] if len(set(values)) == 1 else np.repeat(values, dims)

        first = hypers[0]
        return cls(
            by_column("learning_rate"),
            by_column("l2"),
            by_column("target"),
            first.beta_1,
            first.beta_2,
            first.epsilon,
            2 if max(h.learning_rate * h.l2 for h in hypers) <= _MILD * first.epsilon else 1,
        )

    def limit(self, size: float) -> np.ndarray:
        """`size / (l2 (1 - beta_1))`, what a step size is compared with; infinite where l2 is 0."""
        with np.errstate(divide="ignore"):
            return np.float64(size) / (np.asarray(self.l2) * (1.0 - self.beta_1))


def joined(
    values: Sequence[tf.Tensor], moments: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """p, m and n, each [U, C], of weights [U, d] and their moments [U, 2 C]: m of all, then n."""
    return tf.concat(values, axis=1), *tf.split(moments, 2, axis=1)


def parted(
    p: tf.Tensor, m: tf.Tensor, n: tf.Tensor, dims: Sequence[int]
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
    """The reverse of `joined`."""
    return tuple(tf.split(p, dims, axis=1)), tf.concat([m, n], axis=1)
