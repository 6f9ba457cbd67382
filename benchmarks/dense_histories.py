"""Whole histories of touched rows under the dense update, in float64: what rowwise must match."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from pep_tf.optimizers import Hyper
from pep_tf.optimizers.catch_up import catch_up

State = tuple[np.ndarray, ...]  # p, m, n


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of weight: its update, its start and the data gradients it meets.

    `start` is the bound of a uniform draw, or with `threshold` the common first value; a
    gradient's size is log-uniform between `gradients`, its sign random, and a threshold's is
    multiplied by the slope of its sigmoid.
    """

    hyper: Hyper
    start: float = 0.04
    gradients: tuple[float, float] = (1e-4, 1e-2)
    threshold: bool = False

    @property
    def scale(self) -> float:
        """What errors are measured in: max(initial scale, 10 steps)."""
        return max(0.0 if self.threshold else self.start, 10.0 * self.hyper.learning_rate)


class Histories(NamedTuple):
    """`start` [R, d]; `touches` [R, M] int64, ascending steps, then 0; `gradients` float32
    [M, R, d]; `before` p, m, n, each float64 [M, R, d]: dense just before each touch."""

    start: np.ndarray
    touches: np.ndarray
    gradients: np.ndarray
    before: State


def one_step(state: State, gradient: np.ndarray | float, t: Any, hyper: Hyper) -> State:
    """The update as it is written, in whatever precision it is given; `t` broadcasts."""
    p, m, n = state
    g = gradient + hyper.l2 * (p - hyper.target)
    m = hyper.beta_1 * m + (1 - hyper.beta_1) * g
    n = hyper.beta_2 * n + (1 - hyper.beta_2) * g * g
    under = np.sqrt(n / (1 - hyper.beta_2**t)) + hyper.epsilon
    move = hyper.learning_rate * (m / (1 - hyper.beta_1**t)) / np.where(under == 0, 1, under)
    return p - move, m, n


def skipped(state: State, last: np.ndarray, step: int, hyper: Hyper) -> State:
    """All steps without a data gradient after `last` [U], one by one, in float64."""
    state = tuple(np.asarray(x, np.float64) for x in state)
    for t in range(int(last.min()) + 1, step + 1):
        late = (last < t)[:, None]
        new = one_step(state, 0.0, float(t), hyper)
        state = tuple(np.where(late, a, b) for a, b in zip(new, state, strict=True))
    return state


def touches(rows: int, steps: int, longest_gap: int, seed: int) -> np.ndarray:
    """Steps at which each row is in a batch, int64 [R, M]: gaps log-uniform in 1..longest_gap."""
    random = np.random.default_rng(seed)
    at = [np.zeros(rows)]
    while at[-1].min() <= steps:
        at.append(at[-1] + np.floor(np.exp(random.uniform(0, np.log(longest_gap + 1), rows))))
    found = np.stack(at[1:], axis=1).astype(np.int64)
    found[found > steps] = 0
    return found[:, found.any(axis=0)]


def dense(case: Case, at: np.ndarray, dim: int, seed: int) -> Histories:
    """Runs the dense update over every step up to the last touch."""
    random = np.random.default_rng([seed, 1])
    rows, count = at.shape
    bound = 0.0 if case.threshold else case.start
    start = random.uniform(-bound, bound, (rows, dim)) + (case.start if case.threshold else 0.0)
    start = start.astype(np.float32)
    low, high = map(math.log, case.gradients)
    sizes = np.exp(random.uniform(low, high, (count, rows, dim)))
    gradients = (sizes * random.choice([-1.0, 1.0], sizes.shape)).astype(np.float32)
    before = tuple(np.zeros(sizes.shape) for _ in range(3))
    state: State = (start.astype(np.float64), np.zeros((rows, dim)), np.zeros((rows, dim)))
    places: dict[int, list[tuple[int, int]]] = {}
    for row, touch in np.argwhere(at > 0):
        places.setdefault(int(at[row, touch]), []).append((int(touch), int(row)))
    for t in range(1, int(at.max()) + 1):
        gradient = np.zeros((rows, dim))
        for touch, row in places.get(t, []):
            for kept, now in zip(before, state, strict=True):
                kept[touch, row] = now[row]
            if case.threshold:
                gradients[touch, row] *= _slope(state[0][row])
            gradient[row] = gradients[touch, row]
        state = one_step(state, gradient, float(t), case.hyper)
    return Histories(start, at, gradients, before)


def _slope(s: np.ndarray) -> np.ndarray:
    return 1.0 / ((1.0 + np.exp(-s)) * (1.0 + np.exp(s)))


def caught_up(state: State, last: Any, step: Any, hyper: Hyper) -> State:
    """p, m and n of one weight by `catch_up`, float32."""
    (p,), moments = catch_up([state[0]], np.concatenate(state[1:], 1), last, step, [hyper])
    return p.numpy(), *np.split(moments.numpy(), 2, axis=1)


def rowwise(history: Histories, hyper: Hyper) -> np.ndarray:
    """The same touches with `catch_up` for the steps between, float32: p before each [M, R, d].

    Each row keeps its own state from touch to touch, so that errors add up as they do in a run.
    """
    at = history.touches
    rows, count = at.shape
    found = np.full(history.gradients.shape, np.nan, np.float32)
    start = history.start
    state = (start.copy(), np.zeros_like(start), np.zeros_like(start))
    last = np.zeros(rows, np.int64)
    for touch in range(count):
        now = np.flatnonzero(at[:, touch])
        step = at[now, touch]
        taken = caught_up(tuple(x[now] for x in state), last[now], step - 1, hyper)
        found[touch, now] = taken[0]
        # In float64, then stored as float32: the touch is not what is measured here.
        wide = tuple(x.astype(np.float64) for x in taken)
        new = one_step(wide, history.gradients[touch, now], step[:, None].astype(float), hyper)
        for x, y in zip(state, new, strict=True):
            x[now] = y
        last[now] = step
    return found
