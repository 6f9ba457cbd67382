"""The catch-up against the exact loop in float64."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.dense_histories import Case, caught_up, dense, one_step, rowwise, skipped, touches
from pep_tf.optimizers import Hyper
from pep_tf.optimizers.catch_up import catch_up, gap_order
from pep_tf.optimizers.catch_up_stages import Plan, map_part, map_stages, slow_part
from pep_tf.optimizers.columns import Columns

DIM = 32  # a tile is 2,048 rows
# A new set of constants is a new compilation: few sets, many problems of each.
HYPERS = [
    Hyper(),
    Hyper(learning_rate=1e-2, l2=1e-3, epsilon=0.0),
    Hyper(beta_1=0.8, beta_2=0.99, l2=1e-4, target=0.02),
]
STRONG = Hyper(learning_rate=1e-2, l2=1e-3)


def _state(seed: int, rows: int, size: float, hyper: Hyper, last: np.ndarray):
    """Rows after two touches with gradients of about `size`, the second at step `last`."""
    random = np.random.default_rng(seed)
    p = random.uniform(-0.04, 0.04, (rows, DIM)) + hyper.target
    state = (p.astype(np.float32).astype(np.float64), np.zeros_like(p), np.zeros_like(p))
    for back in (1, 0):
        t = np.maximum(last - back, 1)[:, None].astype(float)
        gradient = random.choice([-1, 1], p.shape) * size * random.uniform(0.3, 3.0, p.shape)
        new = one_step(state, gradient, t, hyper)
        state = tuple(
            np.where((last > back)[:, None], a, b) for a, b in zip(new, state, strict=True)
        )
    return tuple(x.astype(np.float32) for x in state)


def _errors(found, exact, hyper: Hyper) -> np.ndarray:
    return np.abs(found[0] - exact[0]) / max(0.04, 10 * hyper.learning_rate)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    # Of the last two, one is as strong as the coarse stages take, one takes the finer ones.
    hyper=st.sampled_from([*HYPERS, STRONG, Hyper(learning_rate=2e-3), Hyper(learning_rate=1e-2)]),
    size=st.floats(-6, -2).map(lambda x: 10.0**x),
    first=st.one_of(st.integers(0, 50), st.integers(0, 100_000)),
    longest=st.sampled_from([5, 30, 200, 1000, 5000]),
    seed=st.integers(0, 2**16),
)
def test_drawn_problems(hyper: Hyper, size: float, first: int, longest: int, seed: int) -> None:
    rows = 40
    gap = np.exp(np.random.default_rng(seed).uniform(0, np.log(longest + 1), rows)).astype(int)
    step = first + int(gap.max())
    last = step - gap
    state = _state(seed, rows, size, hyper, last)
    found = caught_up(state, last, step, hyper)
    exact = skipped(state, last, step, hyper)
    errors = _errors(found, exact, hyper)
    assert errors.max() < 0.1
    assert np.quantile(errors, 0.95) < 0.03
    short = gap <= Columns((hyper,), (DIM,)).stages.exact
    for a, b in zip(found, exact, strict=True):
        scale = np.abs(b[short]).max(initial=0.0)
        np.testing.assert_allclose(a[short], b[short], rtol=1e-4, atol=2e-6 * scale)


@pytest.mark.parametrize("hyper", HYPERS)
def test_errors_do_not_add_up_over_many_touches(hyper: Hyper) -> None:
    case = Case(hyper)
    history = dense(case, touches(30, 2500, 200, seed=3), dim=DIM, seed=3)
    found = rowwise(history, hyper)
    reached = np.isfinite(found)
    errors = np.where(reached, np.abs(found - history.before[0]) / case.scale, 0.0)
    assert np.quantile(errors[reached], 0.99) < 0.015  # 0.0134; eight exact steps: 0.008
    assert errors.max() < 0.1
    assert reached[50:].sum() > 500
    assert np.quantile(errors[50:][reached[50:]], 0.99) < 0.015


def test_thresholds_and_masks_follow_dense() -> None:
    at = touches(40, 1900, 600, seed=0)
    weights = Case(Hyper())
    thresholds = Case(Hyper(), start=-5.0, threshold=True)
    v = dense(weights, at, dim=DIM, seed=0)
    s = dense(thresholds, at, dim=DIM, seed=1)
    fast = [rowwise(h, Hyper()) for h in (v, s)]
    reached = np.isfinite(fast[0])
    assert reached.sum() > 10_000
    assert np.abs(fast[1] - s.before[0])[reached].max() < 0.01  # ten steps
    masks = [
        np.abs(table[reached]) > 1 / (1 + np.exp(-level[reached].astype(np.float64)))
        for table, level in ((v.before[0], s.before[0]), fast)
    ]
    assert 0.05 < masks[0].mean() < 0.95
    assert (masks[0] != masks[1]).mean() < 0.01


@pytest.mark.parametrize("hyper", HYPERS)
def test_no_gap_changes_no_bit(hyper: Hyper) -> None:
    last = np.array([7, 3, 7, 0, 7])
    state = _state(1, 5, 1e-3, hyper, np.full(5, 7))
    found = caught_up(state, last, 7, hyper)
    for a, b in zip(found, state, strict=True):
        assert a[last == 7].tobytes() == b[last == 7].tobytes()
        assert not np.array_equal(a[last < 7], b[last < 7])


def test_order_of_rows_does_not_matter() -> None:
    random = np.random.default_rng(5)
    rows = 2500  # more than one tile and not a multiple of one
    last = 4000 - np.exp(random.uniform(0, np.log(4000), rows)).astype(np.int64)
    state = _state(5, rows, 1e-3, Hyper(), last)
    found = caught_up(state, last, 4000, Hyper())
    order = gap_order(last, 4000).numpy()
    assert sorted(order) == list(range(rows))
    powers = np.frexp(4000.0 - last[order])[1]
    assert powers[0] > powers[-1]
    assert (np.diff(powers) <= 0).all()
    ordered = caught_up(tuple(x[order] for x in state), last[order], 4000, Hyper())
    for a, b in zip(found, ordered, strict=True):
        np.testing.assert_array_equal(a[order], b)


def test_long_gaps_end_at_the_target() -> None:
    last = np.array([0, 5, 1000, 10**6])
    for hyper in HYPERS:
        state = _state(2, 4, 1e-2, hyper, last)
        p, m, n = caught_up(state, last, 10**6 + 10**6, hyper)
        for x in (p, m, n):
            assert np.isfinite(x).all()
        assert np.abs(p - hyper.target).max() < 0.1 * hyper.learning_rate


def test_steps_past_the_integers_of_float32() -> None:
    last = np.array([2**24 + 1, 2**33 + 1])
    state = _state(3, 2, 1e-3, Hyper(), np.array([10, 10]))
    for gap in (1, 3):
        for row in (0, 1):
            one = tuple(x[row : row + 1] for x in state)
            found = caught_up(one, last[row : row + 1], int(last[row]) + gap, Hyper())
            exact = skipped(one, last[row : row + 1], int(last[row]) + gap, Hyper())
            np.testing.assert_allclose(found[0], exact[0], rtol=1e-6)


def test_without_decay_the_momentum_tail_is_its_sum() -> None:
    hyper = Hyper(l2=0.0, epsilon=0.0)
    p = np.full((3, DIM), 0.5, np.float32)
    m, n = np.full_like(p, 1e-4), np.full_like(p, 1e-8)
    gap = np.array([6, 90, 3000])
    found = caught_up((p, m, n), 10**6 - gap, 10**6, hyper)
    for row, k in enumerate(gap):
        ratio = 0.9 / np.sqrt(0.999)
        tail = 1e-3 * ratio * (1 - ratio**k) / (1 - ratio)
        np.testing.assert_allclose(0.5 - found[0][row], tail, rtol=2e-3)
        np.testing.assert_allclose(found[2][row], 1e-8 * 0.999**k, rtol=1e-4)


def test_nothing_divided_by_nothing_is_nothing() -> None:
    zero = np.zeros((4, DIM), np.float32)
    for x in caught_up((zero, zero, zero), [0, 1, 50, 900], 1000, HYPERS[1]):
        assert not x.any()


def test_no_rows_and_columns_of_one() -> None:
    empty = np.zeros((0, DIM), np.float32)
    found = caught_up((empty, empty, empty), np.zeros(0, np.int64), 10, Hyper())
    assert [x.shape for x in found] == [(0, DIM)] * 3
    column = np.full((3, 1), 0.01, np.float32)
    last = np.array([0, 4, 9])
    zero = np.zeros_like(column)
    found = caught_up((column, zero, zero), last, 10, Hyper())
    exact = skipped((column, zero, zero), last, 10, Hyper())
    np.testing.assert_allclose(found[0], exact[0], atol=2e-4)


def test_weights_side_by_side_do_not_mix() -> None:
    hypers = [Hyper(), Hyper(learning_rate=2e-3, target=5.0)]  # both have the same stages
    last = 4000 - np.exp(np.random.default_rng(6).uniform(0, 8, 600)).astype(np.int64)
    states = [_state(seed, 600, 1e-3, hyper, last) for seed, hyper in enumerate(hypers)]
    states[1] = tuple(x[:, :1] for x in states[1])  # one number per row
    moments = np.concatenate([state[k] for k in (1, 2) for state in states], axis=1)
    columns = Columns(tuple(hypers), (DIM, 1))
    p, moments = catch_up(
        np.concatenate([state[0] for state in states], 1), moments, last, 4000, columns
    )
    parts = [tf.split(x, [DIM, 1], axis=1) for x in (p, *tf.split(moments, 2, axis=1))]
    found = list(zip(*parts, strict=True))
    for state, hyper, together in zip(states, hypers, found, strict=True):
        alone = caught_up(state, last, 4000, hyper)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-12)


def test_bad_arguments_are_refused() -> None:
    rows, moments = np.zeros((2, DIM), np.float32), np.zeros((2, 2 * DIM), np.float32)
    columns = Columns((Hyper(),), (DIM,))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`last` must not be later"):
        catch_up(rows, moments, [3, 9], 8, columns)
    with pytest.raises(ValueError, match=r"`moments` must have shape \[2, 64\].*Received"):
        catch_up(rows, rows, [3, 9], 10, columns)
    with pytest.raises(ValueError, match="`p` must have shape"):
        catch_up(rows[0], moments, [3], 10, columns)
    with pytest.raises(ValueError, match=r"`last` must have shape \[2\]"):
        catch_up(rows, moments, [3, 9, 9], 10, columns)


@pytest.mark.parametrize("hyper", [Hyper(), STRONG])
@pytest.mark.parametrize("gap", [1, 4, 5, 8, 9, 24, 25, 88, 89, 4099, 10**6, 2**31 - 1])
def test_parts_add_up_to_the_gap(gap: int, hyper: Hyper) -> None:
    plan = Plan(tf.constant([0.0]), tf.constant([gap], tf.int32))
    columns = Columns((hyper,), (1,))
    exact, bits, slow_bits = columns.stages
    maps = map_stages(columns)
    total = min(gap, exact)
    stages = [(map_part(plan, columns, i), 2 ** (bits * i)) for i in range(maps)]
    for i, shift in enumerate(range(bits * maps, 31, slow_bits)):
        stages.append((slow_part(plan, columns, i), 2**shift))
    for (size, active, start), unit in stages:
        if active[0]:
            assert float(start[0]) == np.float32(total)
            total += unit * (1 + int(size[0]))
    assert total == gap


def test_oscillations_of_strong_decay_hold_its_own_n() -> None:
    case = Case(STRONG, gradients=(1e-6, 1e-4))
    history = dense(case, touches(60, 4500, 4500, seed=0), dim=DIM, seed=0)
    found = rowwise(history, STRONG)
    reached = np.isfinite(found)
    errors = np.abs(found - history.before[0])[reached] / case.scale
    assert errors.size > 10_000
    assert np.quantile(errors, 0.99) < 0.02
    assert errors.max() < 0.1
