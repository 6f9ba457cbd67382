import keras
import numpy as np
import pytest

from pep_tf.layers import FieldAttention
from tests.layers import checks

EMBEDDED = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


def reference(layer: FieldAttention, embedded: np.ndarray) -> np.ndarray:
    """The same in NumPy, one head after another."""
    weights = {w.path.partition("/")[2]: w.numpy().astype(np.float64) for w in layer.weights}
    project = weights["project/kernel"], weights["project/bias"]
    attended = embedded @ project[0] + project[1]
    for index in range(layer.layers):

        def part(name, x, at=f"attention_{index}/"):
            return (
                np.einsum("bfw,whk->bhfk", x, weights[f"{at}{name}/kernel"])
                + (weights[f"{at}{name}/bias"][:, None])
            )

        query, key, value = (part(name, attended) for name in ("query", "key", "value"))
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(layer.width // layer.heads)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        output = f"attention_{index}/attention_output/"
        attended = np.einsum("bhfk,hkw->bfw", shares @ value, weights[output + "kernel"])
        attended += weights[output + "bias"]
    residual = embedded @ weights["residual/kernel"] + weights["residual/bias"]
    return np.maximum(attended + residual, 0)


@pytest.mark.parametrize(("heads", "layers"), [(1, 1), (2, 3)])
def test_against_numpy(heads, layers):
    layer = FieldAttention(width=6, heads=heads, layers=layers)
    layer.build(EMBEDDED.shape)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    outputs = layer(EMBEDDED)
    assert outputs.shape == (3, 4, 6)
    assert (outputs.numpy() > 0).any()
    assert (outputs.numpy() == 0).any()
    np.testing.assert_allclose(outputs, reference(layer, EMBEDDED), rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only():
    layer = FieldAttention(width=4, layers=1, dropout=0.5)
    np.testing.assert_array_equal(layer(EMBEDDED, training=False), layer(EMBEDDED))
    assert np.abs(layer(EMBEDDED, training=True) - layer(EMBEDDED)).max() > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 5}, "`heads` must divide `width`. Received: width=5, heads=2"),
        ({"heads": 3}, "`heads` must divide `width`. Received: width=64, heads=3"),
        ({"heads": 0}, "`heads` must be at least 1. Received: 0"),
        ({"layers": 0}, "`layers` must be at least 1. Received: 0"),
        ({"layers": 1.5}, "`layers` must be a whole number"),
        ({"width": "wide"}, "`width` must be a whole number"),
        ({"dropout": -0.1}, "`dropout` must be at least 0. Received: -0.1"),
    ],
)
def test_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        FieldAttention(**wrong)


def test_reload(tmp_path):
    def layer():
        return FieldAttention(width=4, heads=1, layers=2, dropout=0.25)

    checks.check_config(layer())
    again = checks.check_reload(layer(), EMBEDDED, tmp_path)
    assert (again.width, again.heads, again.layers, again.dropout) == (4, 1, 2, 0.25)


@checks.each_policy
def test_policy(policy):
    checks.check_policy(FieldAttention(4, layers=1, dtype=policy), EMBEDDED, policy)


def test_jit():
    keras.utils.set_random_seed(0)
    checks.check_jit(FieldAttention(4, layers=1), EMBEDDED)
