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
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pep_tf.optimizers.catch_up_stages import (
    EXACT_STEPS,
    Plan,
    State,
    exact_step,
    keep,
    map_part,
    map_stage,
    map_stages,
    packed,
    slow_part,
    slow_stage,
    slow_table,
    unpacked,
)
from pep_tf.optimizers.hyper import Hyper

# Entries brought up to date together: few enough to stay in a core's cache.
_TILE_ENTRIES = 1 << 16
_MOST_ROWS = 1 << 13
_AT_ONCE = 2  # tiles; a compiled tile keeps one core busy, and the rest of the step wants some too

States = tuple[State, ...]


def catch_up(
    values: Sequence[tf.Tensor],
    moments: tf.Tensor,
    last: tf.Tensor,
    step: tf.Tensor | int,
    hypers: Sequence[Hyper],
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
    """State of rows after every step up to `step`, none of which had a data gradient.

    A pure function: catching up in two pieces is not bit for bit the same as in one, so whoever only
    looks must not store what comes out. A row's state does not depend on the rows beside it; rows in
    `gap_order` are faster, since a tile takes as long as its own longest gap.

    Args:
        values: weights that share their rows, each float32 [U, d] after step `last`; d must be known
            when the graph is built, and may differ from one to the next.
        moments: float32 [U, 2 x sum of d], m and n of the first, m and n of the second, ...
        last: integer [U], the step each row is up to, 0 before the first.
        step: integer, a number or [U], the step asked for, at least `last`.
        hypers: constants of the update of each of `values`, which differ in learning rate, l2 and
            target alone; each set is compiled once.

    Returns:
        values and moments, as they were given.

    Raises:
        ValueError: shapes or constants that do not fit.
        tf.errors.InvalidArgumentError: a `last` later than `step`.
    """
    values = tuple(tf.convert_to_tensor(x, tf.float32) for x in values)
    moments = tf.convert_to_tensor(moments, tf.float32)
    last = tf.cast(last, tf.int64)
    _check(values, moments, last, hypers)
    step = tf.broadcast_to(tf.cast(step, tf.int64), tf.shape(last))
    dims = tuple(x.shape[1] for x in values)
    return _whole(tuple(hypers), dims)(values, moments, last, step)


def gap_order(last: tf.Tensor, step: tf.Tensor | int) -> tf.Tensor:
    """Rows from the longest gap to the shortest, int32 [U], for `last` integer [U]."""
    gap = tf.cast(step, tf.int64) - tf.cast(last, tf.int64)
    return tf.argsort(tf.cast(tf.minimum(gap, 2**31 - 1), tf.int32), direction="DESCENDING")


def _check(
    values: tuple[tf.Tensor, ...], moments: tf.Tensor, last: tf.Tensor, hypers: Sequence[Hyper]
) -> None:
    for x in values:
        if x.shape.rank != 2 or x.shape[1] is None:
            raise ValueError(
                f"`values` must have two dimensions, the second known. Received: {x.shape}"
            )
    columns = 2 * sum(x.shape[1] for x in values)
    for name, x, shape in (
        *(("values", x, [None, x.shape[1]]) for x in values),
        ("moments", moments, [None, columns]),
        ("last", last, [None]),
    ):
        if not x.shape.is_compatible_with([values[0].shape[0], *shape[1:]]):
            raise ValueError(
                f"`{name}` must have {shape[1:] or 'one step'} a row, in as many rows as "
                f"{values[0].shape}. Received: {x.shape}"
            )
    if len(hypers) != len(values) or len({(h.beta_1, h.beta_2, h.epsilon) for h in hypers}) != 1:
        raise ValueError(
            "`hypers` must be one for each of `values`, alike in beta_1, beta_2 and epsilon. "
            f"Received: {hypers}"
        )


def tile_rows(columns: int) -> int:
    """Rows of `columns` entries brought up to date together: a power of two from 16 to 8192."""
    rows = _MOST_ROWS
    while rows > 16 and rows * columns > _TILE_ENTRIES:
        rows //= 2
    return rows


@functools.lru_cache(maxsize=64)
def _whole(hypers: tuple[Hyper, ...], dims: tuple[int, ...]) -> Callable:
    """Any number of rows, in tiles of one size, so that there is just one compilation."""
    size, tile = tile_rows(sum(dims)), _tile(hypers, dims)
    values = tuple(tf.TensorSpec([None, dim]) for dim in dims)
    rest = [tf.TensorSpec([None, 2 * sum(dims)]), *[tf.TensorSpec([None], tf.int64)] * 2]

    @tf.function(input_signature=[values, *rest], autograph=False)
    def whole(
        values: tuple[tf.Tensor, ...], moments: tf.Tensor, last: tf.Tensor, step: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        gap = tf.cast(tf.minimum(step - last, 2**31 - 1), tf.int32)
        tf.debugging.assert_non_negative(gap, "`last` must not be later than `step`.")
        count = tf.shape(moments)[0]
        tiles = -(-count // size)

        def cut(x: tf.Tensor) -> tf.Tensor:
            """Tiles; the last is filled with zeros, rows without a gap that cost next to nothing."""
            filled = tf.pad(x, [[0, tiles * size - count], *[[0, 0]] * (x.shape.rank - 1)])
            return tf.reshape(filled, [tiles, size, *x.shape[1:]])

        inputs = tf.nest.map_structure(cut, (values, moments, tf.cast(last, tf.float32), gap))
        found = tf.map_fn(
            lambda one: tile(*one),
            inputs,
            fn_output_signature=(values_spec, moments_spec),
            parallel_iterations=_AT_ONCE,
        )
        return tf.nest.map_structure(
            lambda x: tf.reshape(x, [tiles * size, x.shape[2]])[:count], found
        )

    values_spec = tuple(tf.TensorSpec([size, dim]) for dim in dims)
    moments_spec = tf.TensorSpec([size, 2 * sum(dims)])
    return whole


@functools.lru_cache(maxsize=64)
def _tile(hypers: tuple[Hyper, ...], dims: tuple[int, ...]) -> Callable:
    """The compiled work on a tile."""
    rows = tile_rows(sum(dims))
    values = tuple(tf.TensorSpec([rows, dim]) for dim in dims)
    rest = [tf.TensorSpec([rows, 2 * sum(dims)]), tf.TensorSpec([rows])]
    rest.append(tf.TensorSpec([rows], tf.int32))

    @tf.function(jit_compile=True, autograph=False, input_signature=[values, *rest])
    def tile(
        values: tuple[tf.Tensor, ...], moments: tf.Tensor, last: tf.Tensor, gap: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        old = unpacked(values, moments)
        begun = tuple(State(x.v - h.target, x.m, x.n) for x, h in zip(old, hypers, strict=True))
        ended = _advance(begun, Plan(last, gap), hypers)
        new = tuple(State(x.v + h.target, x.m, x.n) for x, h in zip(ended, hypers, strict=True))
        return packed(keep(gap > 0, a, b) for a, b in zip(new, old, strict=True))

    return tile


def _advance(states: States, plan: Plan, hypers: tuple[Hyper, ...]) -> States:
    """All stages, each only while some row of the tile still needs it."""
    tables = [slow_table(hyper) for hyper in hypers]
    longest = tf.reduce_max(plan.gap)

    def each(stage: Callable[..., State], states: States, *arguments: Any) -> States:
        # What the stages of all weights compute for a row alike, the compiler computes once.
        pairs = zip(states, hypers, strict=True)
        return tuple(stage(state, plan, hyper, *arguments) for state, hyper in pairs)

    _, states = tf.while_loop(
        lambda i, _: i < tf.minimum(longest, EXACT_STEPS),
        lambda i, now: (i + 1, each(exact_step, now, i)),
        (0, states),
    )
    row = Plan(tf.zeros([]), longest)
    for j in range(map_stages(hypers[0])):
        states = tf.cond(
            map_part(row, j).active,
            lambda now=states, j=j: each(map_stage, now, j),
            lambda now=states: now,
        )

    def slow(i: tf.Tensor, now: States) -> tuple[tf.Tensor, States]:
        found = zip(now, hypers, tables, strict=True)
        return i + 1, tuple(slow_stage(state, plan, h, i, table) for state, h, table in found)

    _, states = tf.while_loop(lambda i, _: slow_part(row, hypers[0], i).active, slow, (0, states))
    return states
