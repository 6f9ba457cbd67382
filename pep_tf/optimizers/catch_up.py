"""Skipped steps of Adam with coupled L2, made up for in about log2(gap) stages.

A row that no batch held for K steps still moves: with v = p - target and g = l2 * v, step t does

    m = b1 m + (1-b1) g,  n = b2 n + (1-b2) g**2,  v = v - a_t m / (sqrt(n) + b_t),
    a_t = lr sqrt(1-b2**t) / (1-b1**t),  b_t = epsilon sqrt(1-b2**t).

`catch_up` finds the state after those K steps without doing them one by one.

**Stages.** The first 4 steps are the recurrence itself. The other K - 4 are cut by their bijective
base-2 digits into stages of 1 or 2, 2 or 4, 4 or 8, ... steps: they add up to K exactly, no stage
is much longer than all before it, and the constants of a stage are known when it is compiled.

**Map** (stages below about 64 steps, until the momentum of the touch has died). With
eta = a / (sqrt(n) + b) frozen at the middle of the stage, a step is linear in (v, m): a 2 x 2 map of
determinant b1 and trace 1 + b1 - kappa, kappa = eta l2 (1-b1). Its power A**h = S_h A - b1 S_{h-1} I
needs no root, exponential or cosine: with trace(A**h) = 1 + b1**h - tau and
S_h = (1-b1**h)/(1-b1) - sigma, doubling h gives

    tau -> tau (2 (1 + b1**h) - tau),  sigma -> sigma (1 + b1**h) + S_h tau,

without cancellation however small kappa is. n at the middle uses v there, foreseen as a drift plus
a dying momentum, and n at the end the mean of v**2. The momentum that is there works off early in
the stage, when sqrt(n) has not yet decayed to its middle: its column is weighted with a / sqrt(n)
at the momentum's mean step.

**Slow mode** (the rest, by base-4 digits). What is left is v falling at the small root of the
characteristic polynomial, m following it. The rate is taken at the start, middle and end of the
stage (Simpson); n there is beta_2's exponential average of a v**2 linear on each half, with weights
from a table.

**Exact**: a gap of 0 (bit for bit) and gaps up to 4 (to float32). **Limits**: with epsilon = 0 and
m = n = 0 a step is no step; a learning rate that changes from step to step cannot be caught up, and
`Hyper` takes none. Where the frozen map is unstable (sqrt(n) below lr l2 / 38: dense Adam then
oscillates by about lr / 38) v is damped instead.

**Error**, `python -m benchmarks.catch_up_error` (seed 0, 253,320 entries a case, 35 touches a row
from step 0, errors adding up, gaps log-uniform in 1..5000, |p - dense| / max(initial scale, 10 lr)):

| case | p99 | max |
|---|---|---|
| V in +-0.04, gradients 1e-4..1e-2 | 0.19 % | 0.6 % |
| V in +-0.0017 (N = 2 million) | 0.65 % | 2.5 % |
| V in +-0.04, gradients 1e-6 | 0.07 % | 0.7 % |
| lr 1e-2, l2 1e-3 | 0.54 % | 8.6 % |
| lr 1e-2, l2 1e-3, gradients 1e-6..1e-4 | 3.9 % | 26 % |
| epsilon = 0 / l2 = 0 | 0.20 / 0.03 % | 0.8 / 0.03 % |

The fifth is chaotic: a touch throws v by up to 28 lr and v then makes its own n, more than the data
did. Thresholds, |s - dense| in the same runs: from -15 p50 0.0015, p99 0.017, max 0.040; from -5
p50 0.0005, p99 0.035, max 0.061. In 1,900 steps with gaps up to 1,000, 0.11 % of the entries change
sides of |V| > sigmoid(s): no common drift need be kept beside them. Rows never touched: p99 0.3 %.

**Cost**, `python -m benchmarks.catch_up_error --parts=speed`, 10,300 rows, a third of the gaps
each in 1..10, 10..300, 300..20,000: 13 ms of CPU and 7 ms of wall for d = 24, 26 and 15 ms for
d = 64, on two cores (medians of 30).
Compiling takes about 3 s for each set of constants and width. The order of the rows does not matter
to the result; in `gap_order` a tile stops at its own longest gap.

**Tried and left**, p99 of V in +-0.04 / +-0.0017 in float64 on 200 such rows, or CPU time: base 4
from the first stage 1.0 / 0.9 %; base 2 also in the slow mode 0.13 / 0.19 %, about 2 ms more,
thresholds 0.0034; no foreseen v 0.66 / 0.16 %; base 4 with the momentum weighted as the rest 2.1 /
3.7 %; slow mode from 32 steps on: tiny gradients 1.1 %, lr 1e-2 with l2 1e-3 5.3 %; eight exact
steps 0.13 / 0.15 %. A compiled loop over tiles for few sizes of batch: as fast, but a compilation
for each size. Exact steps unrolled instead of
looped: up to twice as slow. Rows as columns: exact steps twice as fast, all others slower. A shared
table of rows never touched: 3e-5 % for them, but one more state to keep and to save.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pep_tf.optimizers.catch_up_stages import (
    EXACT_STEPS,
    Plan,
    State,
    exact_step,
    map_part,
    map_stage,
    map_stages,
    slow_part,
    slow_stage,
    slow_table,
)
from pep_tf.optimizers.hyper import Hyper

# Entries brought up to date together: few enough to stay in a core's cache.
_TILE_ENTRIES = 1 << 15


def catch_up(
    p: tf.Tensor,
    m: tf.Tensor,
    n: tf.Tensor,
    last: tf.Tensor,
    step: tf.Tensor | int,
    hyper: Hyper,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """State of rows after every step up to `step`, none of which had a data gradient.

    A pure function: catching up in two pieces is not bit for bit the same as in one, so whoever only
    looks must not store what comes out. A row's state does not depend on the rows beside it; rows in
    `gap_order` are faster, since a tile takes as long as its own longest gap.

    Args:
        p: float32 [U, d], values after step `last`; d must be known when the graph is built.
        m: float32 [U, d], first moments.
        n: float32 [U, d], second moments.
        last: integer [U], the step each row is up to, 0 before the first.
        step: integer, a number or [U], the step asked for, at least `last`.
        hyper: the constants of the update; each value is compiled once.

    Returns:
        p, m, n: float32 [U, d].

    Raises:
        ValueError: shapes that do not fit.
        tf.errors.InvalidArgumentError: a `last` later than `step`.
    """
    p, m, n = (tf.convert_to_tensor(x, tf.float32) for x in (p, m, n))
    last = tf.cast(last, tf.int64)
    _check_shapes(p, m, n, last)
    step = tf.broadcast_to(tf.cast(step, tf.int64), tf.shape(last))
    return _whole(hyper, p.shape[1])(p, m, n, last, step)


def gap_order(last: tf.Tensor, step: tf.Tensor | int) -> tf.Tensor:
    """Rows from the smallest gap to the largest, int32 [U], for `last` integer [U]."""
    gap = tf.cast(step, tf.int64) - tf.cast(last, tf.int64)
    return tf.argsort(tf.cast(tf.minimum(gap, 2**31 - 1), tf.int32))


def _check_shapes(p: tf.Tensor, m: tf.Tensor, n: tf.Tensor, last: tf.Tensor) -> None:
    if p.shape.rank != 2 or p.shape[1] is None:
        raise ValueError(
            f"`p` must have two dimensions, the second known. Received: p of {p.shape}"
        )
    for name, x in (("m", m), ("n", n)):
        if not x.shape.is_compatible_with(p.shape):
            raise ValueError(
                f"`{name}` must have the shape of `p`, {p.shape}. Received: {name} of {x.shape}"
            )
    if not last.shape.is_compatible_with(p.shape[:1]):
        raise ValueError(f"`last` must hold one step a row. Received: last of {last.shape}")


def tile_rows(dim: int) -> int:
    """Rows of `dim` entries brought up to date together: a power of two from 16 to 2048."""
    rows = 2048
    while rows > 16 and rows * dim > _TILE_ENTRIES:
        rows //= 2
    return rows


@functools.lru_cache(maxsize=64)
def _whole(hyper: Hyper, dim: int) -> Callable:
    """Any number of rows, in tiles of one size, so that there is just one compilation."""
    table = [tf.TensorSpec([None, dim])] * 3
    size, tile = tile_rows(dim), _tile(hyper, dim)

    @tf.function(input_signature=[*table, *[tf.TensorSpec([None], tf.int64)] * 2], autograph=False)
    def whole(
        p: tf.Tensor, m: tf.Tensor, n: tf.Tensor, last: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        gap = tf.cast(tf.minimum(step - last, 2**31 - 1), tf.int32)
        tf.debugging.assert_non_negative(gap, "`last` must not be later than `step`.")
        count = tf.shape(p)[0]
        inputs = (p, m, n, tf.cast(last, tf.float32), gap)

        def tile_at(start: tf.Tensor) -> tuple[tf.Tensor, ...]:
            start = tf.minimum(start, count)
            rows = tf.minimum(count - start, size)
            found = tile(*(_filled(x[start : start + rows], size) for x in inputs))
            return tuple(x[:rows] for x in found)

        def body(i: tf.Tensor, arrays: tuple[Any, ...]) -> tuple[tf.Tensor, tuple[Any, ...]]:
            # Two tiles a turn, which run side by side.
            first, second = tile_at(2 * i * size), tile_at((2 * i + 1) * size)
            pairs = zip(arrays, first, second, strict=True)
            return i + 1, tuple(a.write(i, tf.concat([x, y], 0)) for a, x, y in pairs)

        turns = -(-count // (2 * size))
        arrays = tuple(tf.TensorArray(tf.float32, turns, infer_shape=False) for _ in range(3))
        _, arrays = tf.while_loop(lambda i, _: i < turns, body, (0, arrays))
        # Without a row there is nothing to put together.
        return tf.cond(
            count > 0,
            lambda: tuple(tf.ensure_shape(a.concat(), [None, dim]) for a in arrays),
            lambda: (p, m, n),
        )

    return whole


def _filled(rows: tf.Tensor, size: int) -> tf.Tensor:
    """`size` rows: these and then zeros, which as rows without a gap cost next to nothing."""
    filled = tf.pad(rows, [[0, size - tf.shape(rows)[0]], *[[0, 0]] * (rows.shape.rank - 1)])
    return tf.ensure_shape(filled, [size, *rows.shape[1:]])


@functools.lru_cache(maxsize=64)
def _tile(hyper: Hyper, dim: int) -> Callable:
    """The compiled work on a tile."""
    rows = tile_rows(dim)
    table = tf.TensorSpec([rows, dim])
    row = [tf.TensorSpec([rows]), tf.TensorSpec([rows], tf.int32)]

    @tf.function(jit_compile=True, autograph=False, input_signature=[table, table, table, *row])
    def tile(
        p: tf.Tensor, m: tf.Tensor, n: tf.Tensor, last: tf.Tensor, gap: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        v, new_m, new_n = _advance(State(p - hyper.target, m, n), Plan(last, gap), hyper)
        skipped = gap[:, None] > 0
        pairs = ((v + hyper.target, p), (new_m, m), (new_n, n))
        return tuple(tf.where(skipped, new, old) for new, old in pairs)

    return tile


def _advance(state: State, plan: Plan, hyper: Hyper) -> State:
    """All stages, each only while some row of the tile still needs it."""
    table = slow_table(hyper)
    longest = tf.reduce_max(plan.gap)
    _, state = tf.while_loop(
        lambda i, _: i < tf.minimum(longest, EXACT_STEPS),
        lambda i, s: (i + 1, exact_step(s, plan, hyper, i)),
        (0, state),
    )
    row = Plan(tf.zeros([]), longest)
    for j in range(map_stages(hyper)):
        state = tf.cond(
            map_part(row, j).active,
            lambda s=state, j=j: map_stage(s, plan, hyper, j),
            lambda s=state: s,
        )
    _, state = tf.while_loop(
        lambda i, _: slow_part(row, hyper, i).active,
        lambda i, s: (i + 1, slow_stage(s, plan, hyper, i, table)),
        (0, state),
    )
    return state
