import numpy as np

from pep_tf.models import DCN
from tests import tiny
from tests.models.looked_up import FIELDS, IDS, TABLE, embedding


def test_logit_is_cross_plus_mlp():
    model = DCN(FIELDS, embedding(), cross_layers=2, mlp_widths=(3,))
    model.build()
    flat = TABLE[[[1, 4], [0, 3]]].reshape(2, 4)
    kernel, bias = model.cross_logit.get_weights()
    expected = model.cross(flat).numpy() @ kernel + bias + model.deep(flat).numpy()
    assert np.abs(expected).min() > 0
    np.testing.assert_allclose(model(IDS), expected, rtol=1e-5)


def test_arguments_of_cross_and_mlp():
    model = DCN(FIELDS, embedding(), 1, 2, mlp_widths=(3, 2), dropout=0.4)
    assert (model.cross.layers, model.cross.rank) == (1, 2)
    assert (model.deep.widths, model.deep.dropout) == ((3, 2), 0.4)
    config = model.get_config()
    again = DCN.from_config(config)
    assert again.get_config() == config


def test_has_no_first_order_term():
    model = DCN(FIELDS, embedding())
    assert model.first_order is None
    assert "first_order" not in model.get_config()


def test_a_low_rank_keeps_few_numbers():
    full, low = (tiny.model("dcn", cross_layers=2, cross_rank=rank) for rank in (None, 3))
    width = 3 * tiny.DIM
    assert full.cross.count_params() == 2 * (width * width + width)
    assert low.cross.count_params() == 2 * (2 * width * 3 + width)
