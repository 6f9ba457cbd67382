"""The shared table of rows that no batch has held."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.dense_histories import one_step
from pep_tf.optimizers import Hyper
from pep_tf.optimizers.never_seen import never_seen, never_seen_start, never_seen_step


def _after(steps: int, limit: float, hyper: Hyper, points: int = 2048) -> tf.Tensor:
    advance = tf.function(lambda grid, t: never_seen_step(grid, t, hyper))
    grid = never_seen_start(limit, points)
    for t in range(1, steps + 1):
        grid = advance(grid, tf.constant(t))
    return grid


@pytest.mark.parametrize("hyper", [Hyper(), Hyper(epsilon=0.0), Hyper(1e-2, 1e-3, target=0.01)])
@pytest.mark.parametrize("steps", [0, 1, 7, 60, 400])
def test_follows_the_recurrence(hyper: Hyper, steps: int) -> None:
    limit = 0.04
    p = np.random.default_rng(0).uniform(-limit, limit, (50, 6)) + hyper.target
    start = p.astype(np.float32)
    state = (start.astype(np.float64), np.zeros_like(p), np.zeros_like(p))
    for t in range(1, steps + 1):
        state = one_step(state, 0.0, float(t), hyper)
    found = never_seen(_after(steps, limit, hyper), limit, start, hyper)
    unit = max(limit, 10 * hyper.learning_rate)
    assert found[0].shape == start.shape
    errors = np.abs(found[0].numpy() - state[0]) / unit
    assert np.quantile(errors, 0.99) < 0.01
    assert errors.max() < 0.1
    for power, (moment, exact) in enumerate(zip(found[1:], state[1:], strict=True), start=1):
        np.testing.assert_allclose(moment, exact, atol=2e-2 * (hyper.l2 * limit) ** power)


def test_is_exact_at_a_node_and_odd() -> None:
    grid = _after(30, 0.02, Hyper(), points=5)
    nodes = 0.02 * (np.arange(5) / 4) ** 2
    p, m, n = never_seen(grid, 0.02, nodes.astype(np.float32), Hyper())
    np.testing.assert_allclose(np.stack([p, m, n]), grid.numpy(), rtol=1e-5, atol=1e-12)
    mirrored = never_seen(grid, 0.02, -nodes.astype(np.float32), Hyper())
    np.testing.assert_array_equal(mirrored[0], -p.numpy())
    np.testing.assert_array_equal(mirrored[1], -m.numpy())
    np.testing.assert_array_equal(mirrored[2], n.numpy())


def test_before_the_first_step_it_gives_the_start_back() -> None:
    start = np.linspace(-0.03, 0.03, 41, dtype=np.float32)
    p, m, n = never_seen(never_seen_start(0.03), 0.03, start, Hyper())
    np.testing.assert_allclose(p, start, rtol=1e-5)
    assert not m.numpy().any()
    assert not n.numpy().any()


def test_bad_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="`limit` must be positive. Received: limit=0.0"):
        never_seen_start(0.0)
    with pytest.raises(ValueError, match="`points` must be at least 2. Received: points=1"):
        never_seen_start(1.0, points=1)
