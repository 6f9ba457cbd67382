"""Skipped steps of Adam with coupled L2, made up for in a few stages.

A row that no batch held for K steps still moves: with v = p - target and g = l2 * v, step t does

    m = b1 m + (1-b1) g,  n = b2 n + (1-b2) g**2,  v = v - a_t m / (sqrt(n) + b_t),
    a_t = lr sqrt(1-b2**t) / (1-b1**t),  b_t = epsilon sqrt(1-b2**t).

`catch_up` finds the state after those K steps without doing them one by one.

**Stages.** The first 2 steps are the recurrence itself. The rest is divided by its bijective digits, in
base 4, into stages of 1 to 4, 4 to 16 and 16 to 64 steps, then, in base 16, of 64 to 1024, 1024 to
16,384 and so on: they add up to K exactly, and the constants of a stage are known when it is
compiled. Where a step may move an entry by much of itself (`Columns.stages`) the first 16 steps are the
recurrence and the base is 2.

**Map** (stages below about 64 steps, until the momentum of the update has died). With
eta = a / (sqrt(n) + b) frozen at the middle of the stage, a step is linear in (v, m): a 2 x 2 map of
determinant b1 and trace 1 + b1 - kappa, kappa = eta l2 (1-b1). Its power A**h = S_h A - b1 S_{h-1} I
needs no root, exponential or cosine: with trace(A**h) = 1 + b1**h - tau and
S_h = (1-b1**h)/(1-b1) - sigma, doubling h gives (and tripling likewise, `_power`)

    tau -> tau (2 (1 + b1**h) - tau),  sigma -> sigma (1 + b1**h) + S_h tau,

without cancellation however small kappa is. n at the middle uses v there, foreseen as a drift plus
a dying momentum, and n at the end the mean of v**2. The momentum that is there works off early in
the stage, when sqrt(n) has not yet decayed to its middle: its column is weighted with a / sqrt(n)
at the momentum's mean step.

**Slow mode** (the rest). What is left is v falling at the small root of the
characteristic polynomial, m following it. The rate is taken at the start, middle and end of the
stage (Simpson); n there is beta_2's exponential average of a v**2 linear on each half, with weights
from a table.

**Unstable steps.** Where sqrt(n) + b falls below lr l2 / 38 a step overshoots by more than it was off:
dense Adam then oscillates by about lr / 38, and these oscillations hold n where steps are just
stable. No stage follows them: v is damped, and n held (`Columns.least_n`). With the default
constants epsilon alone is above that.

**Exact**: a gap of 0 (bit for bit) and gaps up to 2 or 16 (to float32). **Limits**: with epsilon = 0
and m = n = 0 a step is no step; a learning rate that changes from step to step cannot be caught up,
and `Hyper` takes none.

**Error**, `python -m benchmarks.catch_up_error --rows=100 --steps=6000` (seed 0, 25,560 entries a
case, errors adding up from update to update, gaps log-uniform in 1..5000, |p - dense| /
max(initial scale, 10 lr)):

| case | p99 | max |
|---|---|---|
| V in +-0.04, gradients 1e-4..1e-2 | 0.68 % | 2.2 % |
| V in +-0.0017 (N = 2 million) | 0.79 % | 1.3 % |
| V in +-0.04, gradients 1e-6 | 0.50 % | 2.4 % |
| lr 1e-2, l2 1e-3 | 0.28 % | 1.7 % |
| lr 1e-2, l2 1e-3, gradients 1e-6..1e-4 | 0.70 % | 6.4 % (8.7 % with `--seed=1`) |
| epsilon = 0 / l2 = 0 | 0.09 / 0.17 % | 0.7 / 0.30 % |

The fifth is chaotic: an update throws v by up to 28 lr and v then makes its own n, more than the data
did. Thresholds, |s - dense| in the same runs: from -15 p50 0.0017, p99 0.0083, max 0.0087; from -5
p50 0.0020, p99 0.057, max 0.066. In 1,900 steps with gaps up to 1,000, 0.12 % of the entries change
sides of |V| > sigmoid(s): no common drift need be kept beside them. Rows never looked up: p99 1.2 %.

**Cost**: `python -m benchmarks.catch_up_error --parts=speed` prints it (the fine stages take about twice
the time of the coarse one), and `python -m benchmarks.step_time` that of a whole step. Compiling
takes about 2 s for each set of constants and widths. The order of the rows does not matter to the
result; in `gap_order` a tile stops at its own longest gap, and tiles without any gap are passed by.

**Tried and left.** Base 2 for all: half the error, twice the stages, 4 % of a whole step. Four exact
steps: p99 0.52 instead of 0.68 %, 2 % of the processor time of a step; one: 1.1 %, and no faster. The
first digit by exact steps (1 to 4 instead of 4 and a stage): lr 1e-2 with l2 1e-3 errs by up to 27 %.
No foreseen v, or the momentum weighted as the rest: several times the error. The slow mode in base 4:
the same errors of V, half those of thresholds, 9 to 18 % more processor time by `--parts=speed`; its
rate at the middle alone: p99 7.4 % for N = 2 million; begun after 5 steps instead of 21: p99 8.7 %.
Weights of one row as states of their own, or put side by side within the compiled tile, or v, m and
n in one tensor: more passes over memory. A table of moments for each weight: no copies side by side,
more reads; 2 to 4 % more of a step. A compiled loop over tiles for few sizes of batch: as fast, but
a compilation for each size. Moments gathered, updated and stored tile by tile: as fast. Exact steps
unrolled instead of looped: up to twice as slow. A shared table of rows never looked up: 3e-5 % for
them, but one more state to keep and to save.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pep_tf.device import compiled, on_gpu
from pep_tf.optimizers.catch_up_stages import (
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
from pep_tf.optimizers.columns import Columns

# Entries brought up to date together: few enough to stay in a core's cache.
_TILE_ENTRIES = 40_000
_MOST_ROWS = 1 << 13
_POWERS = 24  # longer gaps are taken together
_AT_ONCE = 64  # tiles that may be under way: none need wait for the one before it


def catch_up(
    p: tf.Tensor,
    moments: tf.Tensor,
    last: tf.Tensor,
    step: tf.Tensor | int,
    columns: Columns,
) -> tuple[tf.Tensor, tf.Tensor]:
    """State of rows after all steps up to `step`, in which they had no gradient from data.

    A pure function: catching up in two pieces is not bit for bit the same as in one, so a caller that
    only reads must not store the result. A row's state does not depend on the rows beside it; rows in
    `gap_order` are faster, since a tile takes as long as its own longest gap.

    Args:
        p: float32 [U, C], values after step `last`, of one weight or of several side by side; C must
            be known when the graph is built.
        moments: float32 [U, 2 C], m of all columns, then n of all.
        last: integer [U], the step each row is up to, 0 before the first.
        step: integer, a number or [U], the step asked for, at least `last`.
        columns: constants of the update of each column; each set is compiled once.

    Returns:
        p and moments, as they were given.

    Raises:
        ValueError: shapes that do not fit.
        tf.errors.InvalidArgumentError: a `last` later than `step`.
    """
    p, moments = (tf.convert_to_tensor(x, tf.float32) for x in (p, moments))
    last = tf.cast(last, tf.int64)
    _check(p, moments, last, columns.count)
    step = tf.broadcast_to(tf.cast(step, tf.int64), tf.shape(last))
    return (_at_once if on_gpu() else _whole)(columns)(p, moments, last, step)


def gap_order(last: tf.Tensor, step: tf.Tensor | int) -> tf.Tensor:
    """Rows from the longest gaps to the shortest, int32 [U], for `last` integer [U].

    Gaps count by their powers of two: 0, 1, 2 and 3, 4 to 7 and so on. Within a power rows keep
    their order, which takes a third of the time of sorting them and saves as many stages.
    """
    gap = tf.cast(step, tf.int64) - tf.cast(last, tf.int64)
    exponent = tf.bitwise.right_shift(tf.bitcast(tf.cast(gap, tf.float32), tf.int32), 23)
    power = tf.clip_by_value(exponent - 126, 0, _POWERS - 1)  # 0 for no gap, else 1 + its power
    parts = tf.dynamic_partition(tf.range(tf.size(gap)), _POWERS - 1 - power, _POWERS)
    return tf.concat(parts, axis=0)


def _check(p: tf.Tensor, moments: tf.Tensor, last: tf.Tensor, columns: int) -> None:
    for name, x, row in (
        ("p", p, [columns]),
        ("moments", moments, [2 * columns]),
        ("last", last, []),
    ):
        rows = p.shape[0] if p.shape.rank else None
        if not x.shape.is_compatible_with([rows, *row]):
            raise ValueError(
                f"`{name}` must have shape {[rows, *row]}: `p` has a row for each of `last`, and a "
                f"column for each of `columns`. Received: {x.shape}"
            )


def tile_rows(columns: int) -> int:
    """Rows of `columns` entries brought up to date together: a power of two from 16 to 8192."""
    rows = _MOST_ROWS
    while rows > 16 and rows * columns > _TILE_ENTRIES:
        rows //= 2
    return rows


@functools.lru_cache(maxsize=64)
def _whole(columns: Columns) -> Callable:
    """Any number of rows, in tiles of one size, so that there is just one compilation."""
    size, tile = tile_rows(columns.count), _tile(columns)
    table = [tf.TensorSpec([None, k * columns.count]) for k in (1, 2)]
    tiles_of = tuple(tf.TensorSpec([size, spec.shape[1]]) for spec in table)

    @tf.function(input_signature=[*table, *[tf.TensorSpec([None], tf.int64)] * 2], autograph=False)
    def whole(
        p: tf.Tensor, moments: tf.Tensor, last: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        gap = _gap(last, step)
        count = tf.shape(p)[0]
        tiles = -(-count // size)

        def in_tiles(x: tf.Tensor) -> tf.Tensor:
            """Tiles; the last is filled with zeros, rows without a gap that cost next to nothing."""
            filled = tf.pad(x, [[0, tiles * size - count], *[[0, 0]] * (x.shape.rank - 1)])
            return tf.reshape(filled, [tiles, size, *x.shape[1:]])

        tiled = tuple(in_tiles(x) for x in (p, moments, tf.cast(last, tf.float32), gap))

        def caught_up(i: tf.Tensor) -> tuple[tf.Tensor, ...]:
            one = tuple(x[i] for x in tiled)  # without a copy, which tensor lists would make
            return tf.cond(tf.reduce_any(one[3] > 0), lambda: tile(*one), lambda: one[:2])

        found = tf.map_fn(
            caught_up,
            tf.range(tiles),
            fn_output_signature=tiles_of,
            parallel_iterations=_AT_ONCE,
        )
        return tuple(tf.reshape(x, [tiles * size, x.shape[2]])[:count] for x in found)

    return whole


def _gap(last: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    gap = tf.cast(tf.minimum(step - last, 2**31 - 1), _gap_type())
    tf.debugging.assert_non_negative(step - last, "`last` must not be later than `step`.")
    return gap


def _gap_type() -> tf.DType:
    """The host would do int32 operations where a GPU works op by op."""
    return tf.int64 if on_gpu() else tf.int32


@functools.lru_cache(maxsize=64)
def _at_once(columns: Columns) -> Callable:
    """All rows at once, for a GPU; compiled for each number of rows."""
    advance = _compiled(columns, None, _advance_all)

    def at_once(
        p: tf.Tensor, moments: tf.Tensor, last: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return advance(p, moments, tf.cast(last, tf.float32), _gap(last, step))

    return at_once


@functools.lru_cache(maxsize=64)
def _tile(columns: Columns) -> Callable:
    """The compiled work on a tile."""
    return _compiled(columns, tile_rows(columns.count), _advance)


def _compiled(columns: Columns, rows: int | None, advance: Callable[..., State]) -> Callable:
    """A compiled function of rows, their last step and their gap; `rows` is their number, if known."""
    table = [tf.TensorSpec([rows, k * columns.count]) for k in (1, 2)]
    row = [tf.TensorSpec([rows]), tf.TensorSpec([rows], _gap_type())]

    def caught_up(
        p: tf.Tensor, moments: tf.Tensor, last: tf.Tensor, gap: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        m, n = tf.split(moments, 2, axis=1)
        state = advance(State(p - columns.target, m, n), Plan(last, gap), columns)
        found = state.v
        if np.any(columns.target):  # there and back would not be bit for bit
            found = tf.where(gap[:, None] > 0, state.v + columns.target, p)
        return found, tf.concat([state.m, state.n], axis=1)

    return compiled(caught_up, input_signature=[*table, *row])


def _advance_all(state: State, plan: Plan, hyper: Columns) -> State:
    """All stages, most of them unconditionally: a condition costs a GPU more."""
    _, state = tf.while_loop(
        lambda i, _: i < hyper.stages.exact,
        lambda i, s: (i + 1, exact_step(s, plan, hyper, i)),
        (0, state),
    )
    for i in range(map_stages(hyper)):
        state = map_stage(state, plan, hyper, i)
    return _slow_stages(state, plan, hyper)


def _advance(state: State, plan: Plan, hyper: Columns) -> State:
    """All stages, each only while some row of the tile still needs it."""
    longest = tf.reduce_max(plan.gap)
    # The first step is no part of the loop, which would begin by copying what it changes.
    state = exact_step(state, plan, hyper, 0)
    _, state = tf.while_loop(
        lambda i, _: i < tf.minimum(longest, hyper.stages.exact),
        lambda i, s: (i + 1, exact_step(s, plan, hyper, i)),
        (1, state),
    )
    row = Plan(tf.zeros([]), longest)
    for i in range(map_stages(hyper)):
        state = tf.cond(
            map_part(row, hyper, i).active,
            lambda s=state, i=i: map_stage(s, plan, hyper, i),
            lambda s=state: s,
        )
    return _slow_stages(state, plan, hyper)


def _slow_stages(state: State, plan: Plan, hyper: Columns) -> State:
    table, longest = slow_table(hyper), Plan(tf.zeros([]), tf.reduce_max(plan.gap))
    _, state = tf.while_loop(
        lambda i, _: slow_part(longest, hyper, i).active,
        lambda i, s: (i + 1, slow_stage(s, plan, hyper, i, table)),
        (0, state),
    )
    return state
