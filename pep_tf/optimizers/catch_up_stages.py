"""The stages a skipped gap is cut into; `catch_up.py` derives them and says what they cost."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pep_tf.optimizers.hyper import Hyper

EXACT_STEPS = 4
# Enough for every gap below 2**31 from map stages that end at 14 steps or more.
SLOW_STAGES = 14
# Shorter stages gain nothing from looking ahead.
PREDICTED_FROM = 2
# Below sqrt of the smallest normal float32: keeps 0 / 0 at 0 without touching a value in range.
TINY = 1e-19


class State(NamedTuple):
    """Rows of a table under way: `v` = p - target, `m`, `n`, each float32 [R, d]."""

    v: tf.Tensor
    m: tf.Tensor
    n: tf.Tensor


class Plan(NamedTuple):
    """Per row, [R]: `last` float32, the step the row is up to; `gap` int32, steps to go."""

    last: tf.Tensor
    gap: tf.Tensor


def unpacked(values: Iterable[tf.Tensor], moments: tf.Tensor) -> tuple[State, ...]:
    """Value, m and n of each weight from its values [R, d] and the moments of all, side by side."""
    values = tuple(values)
    parts = tf.split(moments, [x.shape[1] for x in values for _ in "mn"], axis=1)
    return tuple(map(State, values, parts[::2], parts[1::2]))


def packed(states: Iterable[State]) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
    """The reverse of `unpacked`."""
    states = tuple(states)
    moments = tf.concat([x for state in states for x in (state.m, state.n)], axis=1)
    return tuple(state.v for state in states), moments


def keep(active: tf.Tensor, new: State, old: State) -> State:
    """Rows where `active` take the new state, the others keep the old one bit for bit."""
    return State(*(tf.where(_down(active), a, b) for a, b in zip(new, old, strict=True)))


def _down(x: tf.Tensor) -> tf.Tensor:
    """A number a row, [R], to stand beside the row's entries. Row work stays [R]: it vectorises."""
    return x[:, None]


def _one_minus_power(beta: float, t: tf.Tensor) -> tf.Tensor:
    """1 - beta**t without cancellation (XLA has tanh in vector form, expm1 costs it two calls)."""
    if beta == 0.0:
        return tf.ones_like(t)
    half = tf.tanh(t * (-0.5 * math.log(beta)))
    return 2.0 * half / (1.0 + half)


def _scales(hyper: Hyper, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Both bias corrections moved to the step size: the step is `a * m / (sqrt(n) + b)`."""
    root = tf.sqrt(_one_minus_power(hyper.beta_2, t))
    return hyper.learning_rate * root / _one_minus_power(hyper.beta_1, t), hyper.epsilon * root


def exact_step(state: State, plan: Plan, hyper: Hyper, i: tf.Tensor) -> State:
    """Step number i + 1 after `last`, as the recurrence has it."""
    a, b = _scales(hyper, plan.last + tf.cast(i + 1, tf.float32))
    # Rows that are done take weights of 1 and 0: a number a row, where selects are one an entry.
    done = plan.gap <= i
    b1, b2, lam = hyper.beta_1, hyper.beta_2, hyper.l2
    old_m, new_m = _weights(done, b1, (1.0 - b1) * lam)
    old_n, new_n = _weights(done, b2, (1.0 - b2) * lam**2)
    a, b = _down(tf.where(done, 0.0, a)), _down(b)
    m = old_m * state.m + new_m * state.v
    n = old_n * state.n + new_n * (state.v * state.v)
    return State(state.v - a * m / tf.maximum(tf.sqrt(n) + b, TINY), m, n)


def _weights(done: tf.Tensor, old: float, new: float) -> tuple[tf.Tensor, tf.Tensor]:
    return _down(tf.where(done, 1.0, old)), _down(tf.where(done, 0.0, new))


def _mean_step(beta: float, h: int) -> float:
    """Mean of k = 1..h weighted by beta**k: when a dying momentum does its work."""
    k = np.arange(1, h + 1)
    weight = beta ** (k - 1.0)
    return float((k * weight).sum() / weight.sum())


def _pick(two: tf.Tensor, values: tuple[float, ...]) -> tf.Tensor:
    return tf.where(two, tf.constant(values[1], tf.float32), tf.constant(values[0], tf.float32))


class Part(NamedTuple):
    """What a stage does to each row, [R]: `size` int32, which of its possible lengths (from 0);
    `active` bool; `start` float32, the step it starts from."""

    size: tf.Tensor
    active: tf.Tensor
    start: tf.Tensor


def map_part(plan: Plan, j: int) -> Part:
    """Digit j, 1 or 2 times 2**j steps, of x = gap - EXACT_STEPS in bijective base 2.

    With x + 1 = (1 b_{J-1} ... b_0) in binary, digit j is 1 + b_j for j < J and the digits
    below j sum to 2**j - 1 + (x + 1) mod 2**j.
    """
    one_more = tf.maximum(plan.gap - (EXACT_STEPS - 1), 1)
    power = 2**j
    size = tf.bitwise.bitwise_and(tf.bitwise.right_shift(one_more, j), 1)
    done = power - 1 + tf.bitwise.bitwise_and(one_more, power - 1) + EXACT_STEPS
    return Part(size, one_more >= 2 * power, plan.last + tf.cast(done, tf.float32))


def slow_part(plan: Plan, hyper: Hyper, i: tf.Tensor | int) -> Part:
    """Digit i, 1 to 4 times 4**i, of what `map_stages` digits leave, in bijective base 4.

    The map leaves y = ((x + 1) >> map_stages) - 1 times 2**map_stages steps; without its first i
    digits, y is (y - (4**i - 1) / 3) >> 2 i.
    """
    stages = map_stages(hyper)
    one_more = tf.maximum(plan.gap - (EXACT_STEPS - 1), 1)
    power = tf.bitwise.left_shift(1, 2 * i)
    left = tf.bitwise.right_shift(one_more, stages) - 1 - (power - 1) // 3
    left = tf.bitwise.right_shift(tf.maximum(left, 0), 2 * i)
    done = plan.gap - tf.bitwise.left_shift(left * power, stages)
    size = tf.bitwise.bitwise_and(left - 1, 3)
    return Part(size, left > 0, plan.last + tf.cast(done, tf.float32))


def _drifted(
    state: State,
    hyper: Hyper,
    scales: tuple[tf.Tensor, tf.Tensor],
    two: tf.Tensor,
    mids: tuple[float, ...],
) -> tf.Tensor:
    """Where v will be at the middle of a stage: its decay drifts on, its momentum dies."""
    a, b = scales
    v, m, n = state
    b1, lam = hyper.beta_1, hyper.l2
    a1 = 1.0 - b1
    eta = a / tf.maximum(tf.sqrt(n + (1.0 - hyper.beta_2) * (lam * v) ** 2) + b, TINY)
    if lam:
        eta = tf.minimum(eta, 0.3 / (lam * a1))
    waits = tuple((mid - 1) / 2 for mid in mids)
    tails = tuple(b1 * (1.0 - b1**wait) / a1 for wait in waits)
    drift = tuple(wait - tail for wait, tail in zip(waits, tails, strict=True))
    return v - eta * (lam * _pick(two, drift) * v + _pick(two, tails) * m)


def map_stage(state: State, plan: Plan, hyper: Hyper, j: int) -> State:
    """`2**j` or `2 * 2**j` steps by the closed power of the map with frozen sqrt(n)."""
    v, m, n = state
    size, active, start = map_part(plan, j)
    two = size > 0
    b1, b2, lam = hyper.beta_1, hyper.beta_2, hyper.l2
    a1 = 1.0 - b1
    sizes = (2**j, 2 * 2**j)
    mids = ((sizes[0] + 1) / 2, (sizes[1] + 1) / 2)
    late = tuple(_mean_step(b1, h) for h in sizes)
    a, b = _scales(hyper, start + _pick(two, mids))
    # The first moment works off early in the stage, when sqrt(n) has not yet decayed to its mid.
    early = _scales(hyper, start + _pick(two, late))[0] / a
    early *= _pick(two, tuple(b2 ** ((s - t) / 2) for s, t in zip(mids, late, strict=True)))
    a, b, early, two = map(_down, (a, b, early, two))
    v_mid = _drifted(state, hyper, (a, b), two, mids) if j >= PREDICTED_FROM else v
    n_mid = _pick(two, tuple(b2**s for s in mids)) * n
    n_mid += _pick(two, tuple(1.0 - b2**s for s in mids)) * (lam * v_mid) ** 2
    eta = a / tf.maximum(tf.sqrt(n_mid) + b, TINY)
    if lam:
        eta = tf.minimum(eta, (1.0 + math.sqrt(b1)) ** 2 / (lam * a1))
    kappa = eta * (lam * a1)
    # A**h = S_h A - b1 S_{h-1} I; tau and sigma are the small departures of its trace and of S_h
    # from their values at kappa = 0, doubled without cancellation.
    tau, sigma, power = kappa, tf.zeros_like(kappa), b1
    for _ in range(j):
        s = (1.0 - power) / a1 - sigma
        tau, sigma = tau * (2.0 * (1.0 + power) - tau), sigma * (1.0 + power) + s * tau
        power *= power
    s = (1.0 - power) / a1 - sigma
    tau, sigma = (
        tf.where(two, tau * (2.0 * (1.0 + power) - tau), tau),
        tf.where(two, sigma * (1.0 + power) + s * tau, sigma),
    )
    s = _pick(two, ((1.0 - power) / a1, (1.0 - power * power) / a1)) - sigma
    off = 0.5 * (sigma * a1 + kappa * s)
    v_end = v - (off + 0.5 * tau) * v - (b1 * early) * eta * s * m
    m_end = lam * a1 * s * v + (_pick(two, (power, power * power)) + off - 0.5 * tau) * m
    fresh = (v * v + v * v_end + v_end * v_end) * (lam * lam / 3.0)
    n_end = _pick(two, tuple(b2**h for h in sizes)) * n
    n_end += _pick(two, tuple(1.0 - b2**h for h in sizes)) * fresh
    return keep(active, State(v_end, m_end, n_end), state)


def map_stages(hyper: Hyper) -> int:
    """How many stages are done by the map: 6 at beta_1 = 0.9, 67 to 130 steps in all.

    Fewer are not enough where v makes its own n: 5 took tiny gradients from 0.1 % to 1.1 %.
    """
    return max(1, math.ceil(math.log2(6.4 / (1.0 - hyper.beta_1))))


def slow_table(hyper: Hyper) -> tf.Tensor:
    """Weights of the halves of every slow stage, float32 [14, 4, 5], by stage and its length.

    With z = -log(beta_2) * h / 2: the half's length h / 2, exp(-z), and the weights of v1**2,
    v1 * (v1 - v0), (v1 - v0)**2 in the average of a linear v**2 by exp(z * (x - 1)), times l2**2.
    """
    unit = 2.0 ** (map_stages(hyper) - 1)
    half = unit * 4.0 ** np.arange(SLOW_STAGES)[:, None] * np.arange(1, 5)
    z = -math.log(hyper.beta_2) * half
    left = np.exp(-z)
    first = (1.0 - left * (1.0 + z)) / z
    second = (2.0 - left * (2.0 + z * (2.0 + z))) / (z * z)
    square = hyper.l2**2
    columns = (half, left, square * (1.0 - left), -2.0 * square * first, square * second)
    return tf.constant(np.stack(columns, axis=-1), tf.float32)


def slow_stage(state: State, plan: Plan, hyper: Hyper, i: tf.Tensor, table: tf.Tensor) -> State:
    """1 to 4 times 2**map_stages * 4**i steps of the slow mode: v decays as n's course decides."""
    v, m, n = state
    size, active, start = slow_part(plan, hyper, i)
    b1, lam = hyper.beta_1, hyper.l2
    a1 = 1.0 - b1
    half, left, w_0, w_1, w_2 = tf.unstack(tf.gather(table[i], size), axis=1)
    moments = [start + 0.5, start + half + 0.5, start + 2.0 * half + 0.5]
    scales = [tuple(map(_down, _scales(hyper, at))) for at in moments]
    half, left, w_0, w_1, w_2 = map(_down, (half, left, w_0, w_1, w_2))

    def refreshed(n: tf.Tensor, v_0: tf.Tensor, v_1: tf.Tensor) -> tf.Tensor:
        rise = v_1 - v_0
        # Rounding may take a vanishing sum of squares just below zero.
        return tf.maximum(left * n + (w_0 * v_1 + w_1 * rise) * v_1 + w_2 * rise * rise, 0.0)

    def step_size(n: tf.Tensor, moment: int) -> tf.Tensor:
        a, b = scales[moment]
        eta = a / tf.maximum(tf.sqrt(n) + b, TINY)
        # Past here both modes oscillate and v is gone long before the stage is.
        return tf.minimum(eta, 1.5 * (1.0 - math.sqrt(b1)) ** 2 / (lam * a1)) if lam else eta

    def rate(eta: tf.Tensor) -> tf.Tensor:
        """Decay of v in a step, from the small root x of x**2 - a1 (1 + kappa) x + a1 kappa."""
        kappa = lam * eta
        y = (b1 / a1) * kappa
        return kappa * (1.0 + y * (1.0 + y * (1.0 + y)))

    eta_0 = step_size(n, 0)
    slip = (lam / a1) * eta_0
    v = v - (b1 / a1) * eta_0 * (m - lam * v * (1.0 + slip))
    # Both guesses run v on in a straight line: exact where v sets its own n, and no worse than an
    # exponential where n fades. They are used only for n.
    v_mid = v * tf.maximum(1.0 - (a1 * half) * slip, 0.0)
    eta_mid = step_size(refreshed(n, v, v_mid), 1)
    fall = tf.exp(-half * rate(0.5 * (eta_0 + eta_mid)))
    v_mid = v * fall
    n_mid = refreshed(n, v, v_mid)
    v_end = v * tf.maximum(2.0 * fall - 1.0, 0.0)
    eta_end = step_size(refreshed(n_mid, v_mid, v_end), 2)
    eta = (eta_0 + 4.0 * eta_mid + eta_end) * (1.0 / 6.0)
    v_end = v * tf.exp(-2.0 * half * rate(eta))
    slip = (lam / a1) * eta_end
    m_end = lam * v_end * (1.0 + slip)
    return keep(active, State(v_end, m_end, refreshed(n_mid, v_mid, v_end)), state)
