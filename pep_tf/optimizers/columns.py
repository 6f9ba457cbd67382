"""Weights that share their rows, side by side: the constants of each column."""

import dataclasses
import functools

import numpy as np

from pep_tf.optimizers.hyper import Hyper

# The largest learning_rate * l2 / epsilon for which base 4 keeps within the errors that the tests allow is
# above 10 and below 100.
_MILD = 20.0


@dataclasses.dataclass(frozen=True)
class Columns:
    """Constants of the update of C columns, which belong to one weight or to several.

    Args:
        hypers: constants of each weight; they may differ in learning rate, l2 and target alone.
        dims: columns of each weight.

    Raises:
        ValueError: constants that do not fit.
    """

    hypers: tuple[Hyper, ...]
    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        alike = {(h.beta_1, h.beta_2, h.epsilon) for h in self.hypers}
        if len(self.hypers) != len(self.dims) or len(alike) != 1:
            raise ValueError(
                "`hypers` must be one for each of `dims`, alike in beta_1, beta_2 and epsilon. "
                f"Received: hypers={self.hypers}, dims={self.dims}"
            )

    @property
    def beta_1(self) -> float:
        """Of all columns."""
        return self.hypers[0].beta_1

    @property
    def beta_2(self) -> float:
        """Of all columns."""
        return self.hypers[0].beta_2

    @property
    def epsilon(self) -> float:
        """Of all columns."""
        return self.hypers[0].epsilon

    @property
    def count(self) -> int:
        """C."""
        return sum(self.dims)

    @functools.cached_property
    def learning_rate(self) -> np.ndarray | float:
        """float64 [C], or a number if it is the same for all."""
        return self._by_column("learning_rate")

    @functools.cached_property
    def l2(self) -> np.ndarray | float:
        """float64 [C], or a number if it is the same for all."""
        return self._by_column("l2")

    @functools.cached_property
    def target(self) -> np.ndarray | float:
        """float64 [C], or a number if it is the same for all."""
        return self._by_column("target")

    @functools.cached_property
    def bits(self) -> int:
        """A gap is cut into stages by its digits in base `2**bits`.

        In base 2 the stages are twice as many. That is needed where a step can move an entry by much
        of itself: by as much as `learning_rate * l2 / epsilon` of it.
        """
        strongest = max(hyper.learning_rate * hyper.l2 for hyper in self.hypers)
        return 2 if strongest <= _MILD * self.epsilon else 1

    def limit(self, size: float) -> np.ndarray:
        """`size / (l2 (1 - beta_1))`, what a step size is compared with; infinite where l2 is 0."""
        with np.errstate(divide="ignore"):
            return np.float64(size) / (np.asarray(self.l2) * (1.0 - self.beta_1))

    def _by_column(self, name: str) -> np.ndarray | float:
        values = [getattr(hyper, name) for hyper in self.hypers]
        return values[0] if len(set(values)) == 1 else np.repeat(values, self.dims)
