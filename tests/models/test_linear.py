import numpy as np

from pep_tf.models import Linear
from tests.models.looked_up import FIELDS, IDS, LINEAR, set_linear


def test_hand_computed_logit():
    model = Linear(FIELDS)
    model.build()
    np.testing.assert_array_equal(model(IDS), [[0], [0]])
    set_linear(model)
    np.testing.assert_allclose(model(IDS), LINEAR, rtol=1e-6)


def test_has_no_embedding():
    model = Linear(FIELDS)
    model.build()
    assert model.embedding is None
    assert "embedding" not in model.get_config()
    assert model.count_params() == 5 + 1
