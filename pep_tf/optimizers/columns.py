"""Weights that share their rows, side by side: the constants of each column."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from pep_tf.optimizers.hyper import Hyper


class Stages(NamedTuple):
    """The stages that a gap is divided into (see `catch_up`).

    Attributes:
        exact: steps that are done one by one.
        bits: a stage of the map is 1 to `2**bits` units of steps; the next one's unit is as long as
            the longest stage of this one.
        slow_bits: the same of the slow mode.
    """

    exact: int
    bits: int
    slow_bits: int


# Above this learning_rate * l2 / epsilon, which is 1 by default, the coarse stages can err by a multiple of
# what it errs below: at 5 by up to 27 % of the scale, at 2 by up to 5 %.
_MILD = 2.0
_COARSE = Stages(exact=2, bits=2, slow_bits=4)
_FINE = Stages(exact=16, bits=1, slow_bits=1)
# Dense Adam's oscillations hold n at 1 to 3 times the least that is stable.
_HELD = 1.5


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
        """The same for all columns."""
        return self.hypers[0].beta_1

    @property
    def beta_2(self) -> float:
        """The same for all columns."""
        return self.hypers[0].beta_2

    @property
    def epsilon(self) -> float:
        """The same for all columns."""
        return self.hypers[0].epsilon

    @property
    def count(self) -> int:
        """The number of columns, C."""
        return sum(self.dims)

    @functools.cached_property
    def learning_rate(self) -> np.ndarray | float:
        """Learning rates, float64 [C], or a number if it is the same for all."""
        return self._by_column("learning_rate")

    @functools.cached_property
    def l2(self) -> np.ndarray | float:
        """L2 strengths, float64 [C], or a number if it is the same for all."""
        return self._by_column("l2")

    @functools.cached_property
    def target(self) -> np.ndarray | float:
        """Targets of L2, float64 [C], or a number if it is the same for all."""
        return self._by_column("target")

    @functools.cached_property
    def stages(self) -> Stages:
        """The stages that gaps are divided into.

        Finer where a step can move an entry by much of itself: by as much as
        `learning_rate * l2 / epsilon` of it.
        """
        strongest = max(hyper.learning_rate * hyper.l2 for hyper in self.hypers)
        return _COARSE if strongest <= _MILD * self.epsilon else _FINE

    @functools.cached_property
    def least_n(self) -> np.ndarray:
        """Where oscillations hold n of an entry that only decays, late in a run; 0 if they do not.

        Steps are stable while `eta * l2 * (1 - beta_1) < 2 * (1 + beta_1)`, eta being
        `learning_rate / (sqrt(n) + epsilon)`.
        """
        rate = np.asarray(self.learning_rate) * np.asarray(self.l2)
        edge = rate * (1.0 - self.beta_1) / (2.0 * (1.0 + self.beta_1)) - self.epsilon
        return _HELD * np.square(np.maximum(edge, 0.0))

    def limit(self, size: float) -> np.ndarray:
        """`size / (l2 (1 - beta_1))`, what a step size is compared with; infinite where l2 is 0."""
        with np.errstate(divide="ignore"):
            return np.float64(size) / (np.asarray(self.l2) * (1.0 - self.beta_1))

    def _by_column(self, name: str) -> np.ndarray | float:
        values = [getattr(hyper, name) for hyper in self.hypers]
        return values[0] if len(set(values)) == 1 else np.repeat(values, self.dims)
