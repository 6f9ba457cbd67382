import numpy as np
import pytest

from pep_tf.training.logit_moments import logit_moments
from tests import tiny


@pytest.mark.parametrize("name", ["fm", "linear"])
def test_moments_are_those_of_the_formula(name):
    model = tiny.model(name)
    rng = np.random.default_rng(0)
    for layer in model.same_rows:
        layer.table.assign(rng.normal(size=layer.table.shape))
    moments = logit_moments(model, tiny.DATA)
    train = tiny.DATA.train
    chance = 1 / (1 + np.exp(-model(train.ids, training=False).numpy()[:, 0].astype(float)))
    weight = chance * (1 - chance)
    # The gradient by a first-order weight is 1.
    np.testing.assert_allclose(moments[model.first_order], [[weight.mean()]], rtol=1e-5)
    if name == "fm":
        rows = train.ids + tiny.DATA.schema.offsets
        embedded = model.embedding.effective_table()[rows].astype(float)
        others = embedded.sum(axis=1, keepdims=True) - embedded
        expected = np.einsum("bfc,bfe,b->ce", others, others, weight) / rows.size
        np.testing.assert_allclose(moments[model.embedding], expected, rtol=1e-4)


def test_later_calls_do_not_train():
    """A lookup outside a call of the model leaves no context of a call behind."""
    model = tiny.model("deepfm", dropout=0.5)
    logit_moments(model, tiny.DATA)
    ids = tiny.DATA.test.ids
    model(ids, training=True)
    np.testing.assert_array_equal(model(ids), model(ids, training=False))
