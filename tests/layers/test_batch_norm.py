import numpy as np
import pytest

from pep_tf.layers import BatchNorm
from tests.layers import checks

INPUTS = np.array([[1, 10], [2, 30], [6, 20]], np.float32)  # means 3, 20; squares sum to 14, 200


def test_training_normalises_by_the_biased_variance_of_the_batch():
    outputs = BatchNorm(epsilon=0.5)(INPUTS, training=True)
    expected = (INPUTS - [3, 20]) / np.sqrt(np.array([14 / 3, 200 / 3]) + 0.5)
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)


def test_running_statistics_use_the_unbiased_variance():
    layer = BatchNorm(momentum=0.9)
    layer(INPUTS, training=True)
    np.testing.assert_allclose(layer.moving_mean, [0.3, 2], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [0.9 + 0.7, 0.9 + 10], rtol=1e-6)
    layer(2 * INPUTS, training=True)
    np.testing.assert_allclose(layer.moving_mean, [0.27 + 0.6, 1.8 + 4], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [1.44 + 2.8, 9.81 + 40], rtol=1e-6)


def test_inference_uses_the_running_statistics_and_leaves_them():
    layer = BatchNorm(epsilon=0.0)
    layer.build(INPUTS.shape)
    layer.moving_mean.assign([1, 2])
    layer.moving_variance.assign([4, 25])
    layer.gamma.assign([3, 5])
    layer.beta.assign([0.5, -1])
    expected = [[0.5, 7], [2, 27], [8, 17]]
    np.testing.assert_allclose(layer(INPUTS, training=False), expected, rtol=1e-6)
    np.testing.assert_allclose(layer(INPUTS), expected, rtol=1e-6)
    np.testing.assert_array_equal(layer.moving_mean, [1, 2])
    np.testing.assert_array_equal(layer.moving_variance, [4, 25])


def test_a_batch_of_one_row_is_its_own_mean():
    layer = BatchNorm()
    np.testing.assert_array_equal(layer(INPUTS[:1], training=True), [[0, 0]])
    np.testing.assert_allclose(layer.moving_variance, [0.9, 0.9], rtol=1e-6)


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_momentum_must_be_a_share(momentum):
    with pytest.raises(ValueError, match="`momentum` must be between 0 and 1. Received: "):
        BatchNorm(momentum=momentum)


def test_reload(tmp_path):
    checks.check_config(BatchNorm(momentum=0.7, epsilon=0.1))
    again = checks.check_reload(BatchNorm(momentum=0.7, epsilon=0.1), INPUTS, tmp_path)
    assert (again.momentum, again.epsilon) == (0.7, 0.1)


@checks.each_policy
def test_policy(policy):
    layer = BatchNorm(dtype=policy)
    checks.check_policy(layer, INPUTS, policy)
    # 70,000 is beyond float16; the statistics are taken in float32.
    large = np.array([[200], [300]] * 150, np.float32)
    layer = BatchNorm(dtype=policy)
    expected = np.where(large > 250, 1, -1)
    np.testing.assert_allclose(np.float32(layer(large, training=True)), expected, rtol=1e-2)
    np.testing.assert_allclose(layer.moving_mean, [25], rtol=1e-5)


def test_jit():
    checks.check_jit(BatchNorm(), INPUTS)
