import numpy as np

from pep_tf.models import DeepFM
from tests.models.looked_up import FIELDS, IDS, LINEAR, PAIRS, TABLE, embedding, set_linear


def test_logit_is_fm_plus_mlp():
    model = DeepFM(FIELDS, embedding(), mlp_widths=(3,))
    model.build()
    set_linear(model)
    flat = TABLE[[[1, 4], [0, 3]]].reshape(2, 4)
    deep = model.deep(flat)
    assert np.abs(deep).min() > 0
    np.testing.assert_allclose(model(IDS), LINEAR + PAIRS + deep.numpy(), rtol=1e-5)


def test_arguments_of_the_mlp():
    model = DeepFM(FIELDS, embedding(), mlp_widths=(3, 2), dropout=0.4)
    assert (model.deep.widths, model.deep.dropout) == ((3, 2), 0.4)
