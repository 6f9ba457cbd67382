import numpy as np
import pytest

from pep_tf.layers import MLP
from tests.layers import checks

INPUTS = np.array([[1, 2, 0.5], [-1, 0.5, 2]], np.float32)


def test_hand_computed_logit():
    layer = MLP((2,), dropout=0.5)
    layer.build((None, 3))
    dense, norm, _, _, logit = layer.stack
    dense.kernel.assign([[1, 0], [0, -2], [2, 0]])
    dense.bias.assign([0.5, 1])
    norm.moving_mean.assign([1, 0])
    norm.moving_variance.assign([4 - 1e-5, 1 - 1e-5])
    norm.beta.assign([0.25, 0])
    logit.kernel.assign([[2], [3]])
    logit.bias.assign([0.125])
    # row 0: dense (2.5, -3), normalised (0.75 + 0.25, -3), rectified (1, 0), logit 2 + 0.125
    # row 1: dense (3.5, 0), normalised (1.25 + 0.25, 0), rectified (1.5, 0), logit 3 + 0.125
    np.testing.assert_allclose(layer(INPUTS, training=False), [[2.125], [3.125]], rtol=1e-6)


def test_training_drops_units_and_uses_batch_statistics():
    layer = MLP((64,), dropout=0.5)
    inference = layer(INPUTS, training=False)
    one, other = layer(INPUTS, training=True), layer(INPUTS, training=True)
    assert np.abs(one - other).min() > 0
    norm = layer.stack[1]
    assert np.abs(norm.moving_mean).min() > 0
    assert np.abs(layer(INPUTS, training=False) - inference).min() > 0  # the statistics have moved


def test_no_hidden_layer_is_a_linear_map():
    layer = MLP(())
    outputs = layer(INPUTS)
    np.testing.assert_allclose(outputs, INPUTS @ layer.stack[0].kernel.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"widths": (4, 0)}, "`widths` must be at least 1. Received: 0"),
        ({"widths": "100"}, r"`widths` must be a list such as \(100, 100\). Received: '100'"),
        ({"widths": 100}, "`widths` must be a list"),
        ({"widths": (4, 2.5)}, "`widths` must be whole numbers such as 100,100. Received: 4,2.5"),
        ({"dropout": 1.5}, "`dropout` must be at most 1. Received: 1.5"),
        ({"dropout": "much"}, "`dropout` must be a number"),
        ({"dropout": float("nan")}, "`dropout` must be a number"),
    ],
)
def test_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        MLP(**{"widths": (4,), **wrong})


def test_numbers_as_they_are_written():
    layer = MLP(["1e2", np.int64(5)], dropout="20%")
    assert (layer.widths, layer.dropout) == ((100, 5), 0.2)


def test_reload(tmp_path):
    checks.check_config(MLP((4, 2), dropout=0.3))
    again = checks.check_reload(MLP((4, 2), dropout=0.3), INPUTS, tmp_path)
    assert (again.widths, again.dropout) == ((4, 2), 0.3)


@checks.each_policy
def test_policy(policy):
    checks.check_policy(MLP((4,), dtype=policy), INPUTS, policy)


@checks.each_policy
def test_global_policy(policy, dtype_policy):
    dtype_policy(policy)
    checks.check_policy(MLP((4,)), INPUTS, policy)


def test_jit():
    checks.check_jit(MLP((4,), dropout=0.0), INPUTS)
