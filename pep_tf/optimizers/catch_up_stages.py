"""The stages a skipped gap is divided into; `catch_up.py` derives them and says what they cost."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pep_tf.optimizers.columns import Columns

# Stages of fewer steps gain nothing from looking ahead.
PREDICTED_FROM = 4
# Below sqrt of the smallest normal float32: keeps 0 / 0 at 0 without changing a value in range.
TINY = 1e-19


class State(NamedTuple):
    """Rows under way: `v` = p - target, `m`, `n`, each float32 [R, C]."""

    v: tf.Tensor
    m: tf.Tensor
    n: tf.Tensor


class Plan(NamedTuple):
    """Per row, [R]: `last` float32, the step the row is up to; `gap` an integer, steps to go."""

    last: tf.Tensor
    gap: tf.Tensor


def keep(active: tf.Tensor, new: State, old: State) -> State:
    """Rows where `active` take the new state, the others keep the old one bit for bit."""
    return State(*(tf.where(_down(active), a, b) for a, b in zip(new, old, strict=True)))


def _down(x: tf.Tensor) -> tf.Tensor:
    """One number per row, [R], as a column, to broadcast over the row's entries."""
    return x[:, None]


def _one_minus_power(beta: float, t: tf.Tensor) -> tf.Tensor:
    """1 - beta**t without cancellation (XLA has tanh in vector form, expm1 costs it two calls)."""
    if beta == 0.0:
        return tf.ones_like(t)
    half = tf.tanh(t * (-0.5 * math.log(beta)))
    return 2.0 * half / (1.0 + half)


def _scales(hyper: Columns, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Both bias corrections moved to the step size: a step is `lr * a * m / (sqrt(n) + b)`."""
    root = tf.sqrt(_one_minus_power(hyper.beta_2, t))
    return root / _one_minus_power(hyper.beta_1, t), hyper.epsilon * root


def exact_step(state: State, plan: Plan, hyper: Columns, i: tf.Tensor | int) -> State:
    """Step number i + 1 after `last`, exactly by the recurrence."""
    a, b = _scales(hyper, plan.last + tf.cast(i + 1, tf.float32))
    # Rows that are done take weights of 1 and 0: one number per row, where a select needs one per entry.
    done = plan.gap <= tf.cast(i, plan.gap.dtype)
    old_m, new_m = _weights(done, hyper.beta_1)
    old_n, new_n = _weights(done, hyper.beta_2)
    a, b = _down(tf.where(done, 0.0, a)) * hyper.learning_rate, _down(b)
    g = hyper.l2 * state.v
    m = old_m * state.m + new_m * g
    n = old_n * state.n + new_n * (g * g)
    return State(state.v - a * m / tf.maximum(tf.sqrt(n) + b, TINY), m, n)


def _weights(done: tf.Tensor, beta: float) -> tuple[tf.Tensor, tf.Tensor]:
    return _down(tf.where(done, 1.0, beta)), _down(tf.where(done, 0.0, 1.0 - beta))


def _mean_step(beta: float, h: int) -> float:
    """Mean of k = 1..h weighted by beta**k: when a dying momentum does its work."""
    k = np.arange(1, h + 1)
    weight = beta ** (k - 1.0)
    return float((k * weight).sum() / weight.sum())


def _pick(size: tf.Tensor, values: Sequence[Any]) -> tf.Tensor:
    """The one of two or four values, numbers or tensors, that belongs to each size from 0."""
    if len(values) == 2:
        return tf.where(size == 0, *values)
    return tf.where(size < 2, _pick(size, values[:2]), _pick(size - 2, values[2:]))


class Part(NamedTuple):
    """What a stage does to each row, [R]: `size` an integer, which of its possible lengths (from 0);
    `active` bool; `start` float32, the step it starts from."""

    size: tf.Tensor
    active: tf.Tensor
    start: tf.Tensor


def map_part(plan: Plan, hyper: Columns, i: int) -> Part:
    """Stage i of the map: a unit is `2**(bits * i)` steps."""
    exact, bits, _ = hyper.stages
    return _part(plan, exact + _units(bits, i), bits * i, bits)


def slow_part(plan: Plan, hyper: Columns, i: tf.Tensor | int) -> Part:
    """Stage i of the slow mode: the first unit is the longest stage of the map's last one."""
    exact, bits, slow_bits = hyper.stages
    maps = map_stages(hyper)
    before = exact + _units(bits, maps) + 2 ** (bits * maps) * _units(slow_bits, i)
    return _part(plan, before, bits * maps + slow_bits * i, slow_bits)


def _units(bits: int, i: tf.Tensor | int) -> Any:
    """One unit of each of the first `i` stages, in units of the first: (base**i - 1) / (base - 1)."""
    power = 2 ** (bits * i) if isinstance(i, int) else tf.bitwise.left_shift(1, bits * i)
    return (power - 1) // (2**bits - 1)


def _part(plan: Plan, before: tf.Tensor | int, shift: tf.Tensor | int, bits: int) -> Part:
    """A digit of the gap in bijective base `2**bits`, whose unit is `2**shift` steps.

    Args:
        before: the exact steps, and one unit of each of the shorter digits; these take the rest
            that is no whole unit.
    """
    before, shift = (tf.cast(x, plan.gap.dtype) for x in (before, shift))
    left = tf.bitwise.right_shift(tf.maximum(plan.gap - before, 0), shift)
    done = plan.gap - tf.bitwise.left_shift(left, shift)
    size = tf.bitwise.bitwise_and(left - 1, 2**bits - 1)
    return Part(size, left > 0, plan.last + tf.cast(done, tf.float32))


def _drifted(
    state: State,
    hyper: Columns,
    scales: tuple[tf.Tensor, tf.Tensor],
    size: tf.Tensor,
    mids: Sequence[float],
) -> tf.Tensor:
    """v at the middle of a stage: its decay goes on, its momentum dies out."""
    a, b = scales
    v, m, n = state
    b1, lam = hyper.beta_1, hyper.l2
    a1 = 1.0 - b1
    eta = a / tf.maximum(tf.sqrt(n + (1.0 - hyper.beta_2) * (lam * v) ** 2) + b, TINY)
    eta = tf.minimum(eta, hyper.limit(0.3))
    waits = tuple((mid - 1) / 2 for mid in mids)
    tails = tuple(b1 * (1.0 - b1**wait) / a1 for wait in waits)
    drift = tuple(wait - tail for wait, tail in zip(waits, tails, strict=True))
    drift, tails = (_down(_pick(size, of)) for of in (drift, tails))
    return v - eta * (lam * drift * v + tails * m)


def _held(n: tf.Tensor, hyper: Columns, t: tf.Tensor) -> tf.Tensor:
    """n at step t, [R], at least what the oscillations that no stage models keep it at."""
    if not np.any(hyper.least_n):
        return n
    least = _down(_one_minus_power(hyper.beta_2, t)) * hyper.least_n
    return tf.where(n > 0.0, tf.maximum(n, least), n)  # an entry of zeros never moves


def map_stage(state: State, plan: Plan, hyper: Columns, i: int) -> State:
    """1 to `base` times `base**i` steps by the closed power of the map with frozen sqrt(n)."""
    v, m, n = state
    size, active, start = map_part(plan, hyper, i)
    b1, b2, lam = hyper.beta_1, hyper.beta_2, hyper.l2
    a1 = 1.0 - b1
    bits = hyper.stages.bits
    sizes = [c << bits * i for c in range(1, 2**bits + 1)]
    mids = [(h + 1) / 2 for h in sizes]
    late = [_mean_step(b1, h) for h in sizes]
    a, b = _scales(hyper, start + _pick(size, mids))
    # The first moment works off early in the stage, when sqrt(n) has not yet decayed to its mid.
    early = _scales(hyper, start + _pick(size, late))[0] / a
    early *= _pick(size, [b2 ** ((s - t) / 2) for s, t in zip(mids, late, strict=True)])
    left_mid, left = (_down(_pick(size, [b2**h for h in of])) for of in (mids, sizes))
    a, b, early = map(_down, (a, b, early))
    a = a * hyper.learning_rate
    v_mid = _drifted(state, hyper, (a, b), size, mids) if sizes[0] >= PREDICTED_FROM else v
    n_mid = left_mid * n + (1.0 - left_mid) * (lam * v_mid) ** 2
    eta = a / tf.maximum(tf.sqrt(n_mid) + b, TINY)
    eta = tf.minimum(eta, hyper.limit((1.0 + math.sqrt(b1)) ** 2))
    kappa = eta * (lam * a1)
    tau, sigma, s, power = _power(kappa, _down(size), hyper, i)
    off = 0.5 * (sigma * a1 + kappa * s)
    v_end = v - (off + 0.5 * tau) * v - (b1 * early) * eta * s * m
    m_end = lam * a1 * s * v + (power + off - 0.5 * tau) * m
    fresh = (v * v + v * v_end + v_end * v_end) * (lam * lam / 3.0)
    n_end = _held(left * n + (1.0 - left) * fresh, hyper, start)
    return keep(active, State(v_end, m_end, n_end), state)


def _power(
    kappa: tf.Tensor, size: tf.Tensor, hyper: Columns, i: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """tau, sigma, S_h and b1**h of the map's power h, 1 to `base` times `base**i` by `size`.

    A**h = S_h A - b1 S_{h-1} I; tau and sigma are the small departures of its trace and of S_h from
    their values at kappa = 0, doubled and tripled without cancellation.
    """
    a1 = 1.0 - hyper.beta_1
    once: tuple[Any, Any, float] = (kappa, tf.zeros_like(kappa), hyper.beta_1)

    def doubled(tau: tf.Tensor, sigma: tf.Tensor, power: float) -> tuple[Any, Any, float]:
        s = (1.0 - power) / a1 - sigma
        return tau * (2.0 * (1.0 + power) - tau), sigma * (1.0 + power) + s * tau, power**2

    def tripled(tau: tf.Tensor, sigma: tf.Tensor, power: float) -> tuple[Any, Any, float]:
        s, trace = (1.0 - power) / a1 - sigma, 1.0 + power
        square = trace * trace - power
        tau_3 = tau * (3.0 * square - tau * (3.0 * trace - tau))
        return tau_3, sigma * square + s * tau * (2.0 * trace - tau), power**3

    for _ in range(hyper.stages.bits * i):
        once = doubled(*once)
    twice = doubled(*once)
    powers = (once, twice, tripled(*once), doubled(*twice))[: 2**hyper.stages.bits]
    tau, sigma = (_pick(size, [found[k] for found in powers]) for k in (0, 1))
    s = _pick(size, [(1.0 - found[2]) / a1 for found in powers]) - sigma
    return tau, sigma, s, _pick(size, [found[2] for found in powers])


def map_stages(hyper: Columns) -> int:
    """How many digits are done by the map: those of units below 64 steps at beta_1 = 0.9."""
    return max(1, math.ceil(math.log2(6.4 / (1.0 - hyper.beta_1)) / hyper.stages.bits))


def slow_table(hyper: Columns) -> tf.Tensor:
    """Weights of the halves of every slow stage, float32 [stages, base, 5], by stage and its size.

    With z = -log(beta_2) * h / 2: the half's length h / 2, exp(-z), and the weights of v1**2,
    v1 * (v1 - v0), (v1 - v0)**2 in the average of a linear v**2 by exp(z * (x - 1)).
    """
    bits = hyper.stages.slow_bits
    units = 2.0 ** np.arange(hyper.stages.bits * map_stages(hyper), 32, bits)
    half = 0.5 * units[:, None] * np.arange(1, 2**bits + 1)
    z = -math.log(hyper.beta_2) * half
    left = np.exp(-z)
    first = (1.0 - left * (1.0 + z)) / z
    second = (2.0 - left * (2.0 + z * (2.0 + z))) / (z * z)
    columns = (half, left, 1.0 - left, -2.0 * first, second)
    return tf.constant(np.stack(columns, axis=-1), tf.float32)


def slow_stage(state: State, plan: Plan, hyper: Columns, i: tf.Tensor, table: tf.Tensor) -> State:
    """1 to `base` units of steps (`slow_part`) of the slow mode: v decays as n's course decides."""
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
        fresh = (w_0 * v_1 + w_1 * rise) * v_1 + w_2 * rise * rise
        return tf.maximum(left * n + (lam * lam) * fresh, 0.0)

    def step_size(n: tf.Tensor, moment: int) -> tf.Tensor:
        a, b = scales[moment]
        eta = hyper.learning_rate * a / tf.maximum(tf.sqrt(n) + b, TINY)
        # Past here both modes oscillate and v is gone long before the stage is.
        return tf.minimum(eta, hyper.limit(1.5 * (1.0 - math.sqrt(b1)) ** 2))

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
    n_end = _held(refreshed(n_mid, v_mid, v_end), hyper, start)
    return keep(active, State(v_end, m_end, n_end), state)
