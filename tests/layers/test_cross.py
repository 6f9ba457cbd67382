import numpy as np
import pytest

from pep_tf.layers import Cross
from tests.layers import checks

INPUTS = np.array([[1, 2], [-1, 0.5]], np.float32)
RANDOM = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


def test_hand_computed_full_matrices():
    layer = Cross(layers=2)
    layer.build(INPUTS.shape)
    first, second = layer.cross
    first.kernel.assign([[1, 0], [2, -1]])
    first.bias.assign([0.5, 1])
    second.kernel.assign([[0, 1], [1, 0]])
    second.bias.assign([0, -2])
    # row 0: x W + b = (5.5, -1); x1 = (1, 2) * (5.5, -1) + (1, 2) = (6.5, 0)
    #        x1 W + b = (0, 4.5); x2 = (1, 2) * (0, 4.5) + (6.5, 0) = (6.5, 9)
    # row 1: x W + b = (0.5, 0.5); x1 = (-1, 0.5) * (0.5, 0.5) + (-1, 0.5) = (-1.5, 0.75)
    #        x1 W + b = (0.75, -3.5); x2 = (-1, 0.5) * (0.75, -3.5) + (-1.5, 0.75) = (-2.25, -1)
    np.testing.assert_allclose(layer(INPUTS), [[6.5, 9], [-2.25, -1]], rtol=1e-6)


def test_hand_computed_low_rank():
    layer = Cross(layers=1, rank=1)
    layer.build(INPUTS.shape)
    layer.project[0].kernel.assign([[1], [2]])
    layer.cross[0].kernel.assign([[3, -1]])
    layer.cross[0].bias.assign([0, 1])
    # row 0: x U = 5, W x + b = (15, -4), (1, 2) * (15, -4) + (1, 2) = (16, -6)
    # row 1: x U = 0, W x + b = (0, 1), (-1, 0.5) * (0, 1) + (-1, 0.5) = (-1, 1)
    np.testing.assert_allclose(layer(INPUTS), [[16, -6], [-1, 1]], rtol=1e-6)


@pytest.mark.parametrize("rank", [None, 2])
def test_each_layer_adds_one_factor(rank):
    """Without biases, a line through zero is mapped to a polynomial of degree L + 1."""
    layers = 3
    layer = Cross(layers, rank)
    scale = np.arange(-3, 4)[:, None]
    values = layer((scale * RANDOM[:1]).astype(np.float32)).numpy()
    differences = [np.diff(values, n=order, axis=0) for order in (layers + 1, layers + 2)]
    assert np.abs(differences[0]).max() > 100 * np.abs(differences[1]).max()


def test_of_full_rank_a_product_is_the_matrix():
    full, product = Cross(layers=2), Cross(layers=2, rank=5)
    full.build(RANDOM.shape)
    product.build(RANDOM.shape)
    for project, cross, whole in zip(product.project, product.cross, full.cross, strict=True):
        whole.kernel.assign(project.kernel.numpy() @ cross.kernel.numpy())
    np.testing.assert_allclose(full(RANDOM), product(RANDOM), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": 0}, "`layers` must be at least 1. Received: 0"),
        ({"rank": 0}, "`rank` must be at least 1. Received: 0"),
        ({"rank": 2.5}, "`rank` must be a whole number, .* Received: 2.5"),
        ({"layers": [3]}, "`layers` must be a whole number"),
    ],
)
def test_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        Cross(**wrong)


def test_inputs_must_be_flat():
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[B, C\]. Received: shape="):
        Cross()(RANDOM[None])


@pytest.mark.parametrize("rank", [None, 2])
def test_reload(rank, tmp_path):
    checks.check_config(Cross(2, rank, name="cross"))
    again = checks.check_reload(Cross(2, rank), RANDOM, tmp_path)
    assert (again.layers, again.rank) == (2, rank)


@pytest.mark.parametrize("rank", [None, 2])
@checks.each_policy
def test_policy(policy, rank):
    checks.check_policy(Cross(2, rank, dtype=policy), INPUTS, policy)


def test_jit():
    checks.check_jit(Cross(), RANDOM)
