import pytest

from pep_tf.layers import PEPEmbedding
from pep_tf.models import MODELS, CTRModel, build_model, models_with, options_among, register
from pep_tf.models.registry import arguments_of, model_class, options_of
from tests import tiny


@pytest.fixture
def own():
    """A model of one's own, as long as the test lasts."""

    @register("own")
    class Own(CTRModel):
        def __init__(self, fields, embedding, scale: float = 2.0, **kwargs):
            super().__init__(fields, embedding, None, **kwargs)
            self.scale = scale

        def interact(self, embedded, first_order=None, training=None):
            return self.scale * embedded[:, 0, :1]

    yield Own
    del MODELS["own"]


def test_arguments_are_those_of_the_constructor():
    assert arguments_of("linear") == ("first_order",)
    assert arguments_of("deepfm") == ("embedding", "first_order", "mlp_widths", "dropout")
    assert options_of("fm") == ()
    assert options_of("dcn") == ("cross_layers", "cross_rank", "mlp_widths", "dropout")


def test_models_by_what_they_take():
    assert models_with() == tuple(sorted(MODELS))
    assert models_with("embedding") == ("autoint", "dcn", "deepfm", "fm")
    assert models_with("embedding", "first_order") == ("deepfm", "fm")
    assert models_with("cross_layers") == ("dcn",)
    assert models_with("nothing") == ()


def test_options_among_settings():
    settings = {"mlp_widths": (4,), "cross_layers": 1, "embedding": None, "other": 2}
    assert options_among("dcn", settings) == {"mlp_widths": (4,), "cross_layers": 1}
    assert options_among("fm", settings) == {}


def test_a_model_of_ones_own(own):
    model = build_model("own", tiny.FIELDS, embedding_dim=3, scale=5.0)
    assert type(model) is own
    assert model.scale == 5.0
    assert isinstance(model.embedding, PEPEmbedding)
    assert "own" in models_with("embedding", "scale")
    assert register("own")(own) is own  # the same file, run again


def test_a_name_that_another_model_has(own):
    with pytest.raises(ValueError, match="`name` must not be that of another model.*'own' for FM"):
        register("own")(model_class("fm"))
    assert model_class("own") is own


def test_an_unknown_name():
    with pytest.raises(ValueError, match=r"`name` must be one of \['autoint', .*Received: 'ffm'"):
        model_class("ffm")
