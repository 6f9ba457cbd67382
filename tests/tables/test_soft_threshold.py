import numpy as np
import pytest
import tensorflow as tf

from pep_tf.tables import soft_threshold


@pytest.mark.parametrize("compiled", [False, True])
def test_by_hand(compiled: bool) -> None:
    # g(0) = 0.5, g(ln 3) = 0.75
    table, s = tf.constant([0.9, -0.6, 0.3, -0.5, 0.8]), tf.constant([0, 0, 0, 0, np.log(3.0)])
    with tf.GradientTape() as tape:
        tape.watch([table, s])
        kept = soft_threshold(table, s, tf.sigmoid, fused=compiled)
    np.testing.assert_allclose(kept, [0.4, -0.1, 0, 0, 0.05], atol=1e-7)
    of_table, of_s = tape.gradient(kept, [table, s])
    np.testing.assert_array_equal(of_table, [1, 1, 0, 0, 1])
    # -sign(V) g'(s), g' = g (1 - g)
    np.testing.assert_allclose(of_s, [-0.25, 0.25, 0, 0, -0.1875], atol=1e-7)


@pytest.mark.parametrize("shape", [(6, 4), (6, 1), (1, 4), (1, 1), (4,), ()])
def test_compiled_is_the_same(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    table, s = tf.constant(rng.normal(size=(6, 4)), tf.float32), rng.normal(size=shape)
    s, upstream = tf.constant(s, tf.float32), tf.constant(rng.normal(size=(6, 4)), tf.float32)
    found = []
    for compiled in (False, True):
        with tf.GradientTape() as tape:
            tape.watch([table, s])
            kept = soft_threshold(table, s, tf.sigmoid, fused=compiled)
        found.append([kept, *tape.gradient(kept, [table, s], output_gradients=upstream)])
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape
        assert np.any(one)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
