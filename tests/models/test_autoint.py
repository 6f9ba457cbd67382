import numpy as np

from pep_tf.models import AutoInt
from tests.models.looked_up import FIELDS, IDS, TABLE, embedding


def test_logit_is_attention_plus_mlp():
    model = AutoInt(FIELDS, embedding(), mlp_widths=(3,), attention={"width": 4, "layers": 2})
    model.build()
    looked_up = TABLE[[[1, 4], [0, 3]]]
    attended = model.attention(looked_up).numpy().reshape(2, 2 * 4)
    kernel, bias = model.attention_logit.get_weights()
    expected = attended @ kernel + bias + model.deep(looked_up.reshape(2, 4)).numpy()
    assert np.abs(expected).min() > 0
    np.testing.assert_allclose(model(IDS), expected, rtol=1e-5)


def test_defaults_are_the_papers():
    attention = AutoInt(FIELDS, embedding()).attention
    assert (attention.width, attention.heads, attention.layers) == (64, 2, 3)
    assert attention.dropout == 0


def test_has_no_first_order_term():
    model = AutoInt(FIELDS, embedding())
    assert model.first_order is None
    assert "first_order" not in model.get_config()
