import keras
import numpy as np

from pep_tf.models import FM
from tests.models.looked_up import FIELDS, IDS, LINEAR, PAIRS, embedding, set_linear


def test_hand_computed_logit():
    model = FM(FIELDS, embedding())
    np.testing.assert_allclose(model(IDS), PAIRS, rtol=1e-6)  # the linear term starts at zero
    set_linear(model)
    np.testing.assert_allclose(model(IDS), LINEAR + PAIRS, rtol=1e-6)


def test_first_order_weights_of_ones_own():
    ones = keras.layers.Embedding(5, 1, embeddings_initializer="ones")
    model = FM(FIELDS, embedding(), first_order=ones)
    np.testing.assert_allclose(model(IDS), PAIRS + 2, rtol=1e-6)
