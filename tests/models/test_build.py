import keras
import numpy as np
import pytest

from pep_tf.models import DCN, FM, MODELS, AutoInt, DeepFM, Linear, build_model
from tests import tiny


@pytest.mark.parametrize(
    ("name", "kind"),
    [("fm", FM), ("deepfm", DeepFM), ("dcn", DCN), ("autoint", AutoInt), ("linear", Linear)],
)
def test_builds_the_model_of_that_name(name, kind):
    model = tiny.model(name)
    assert name in MODELS
    assert type(model) is kind
    assert model.built
    assert model(tiny.DATA.train.ids[:3]).shape == (3, 1)


def test_options_reach_the_embedding():
    options = {"granularity": "field_dim", "threshold_init": -4.0, "pruning": "threshold"}
    embedding = tiny.model("fm", embedding_dim=3, **options).embedding
    assert (embedding.input_dim, embedding.output_dim) == (16, 3)
    assert embedding.field_sizes == (5, 7, 4)
    np.testing.assert_array_equal(embedding.thresholds, np.full((3, 3), -4.0))


@pytest.mark.parametrize("name", MODELS)
def test_weights_depend_on_the_seed_alone(name):
    one, again, other = (tiny.model(name, seed=seed).get_weights() for seed in (5, 5, 6))
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    same = [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]
    assert all(same) == (name == "linear")  # which starts at zero whatever the seed


def test_the_table_does_not_depend_on_granularity_or_pruning():
    tables = [
        tiny.model("fm", **options).embedding.table.numpy()
        for options in ({}, {"granularity": "global"}, {"pruning": "none"})
    ]
    np.testing.assert_array_equal(tables[0], tables[1])
    np.testing.assert_array_equal(tables[0], tables[2])


def test_unknown_name():
    with pytest.raises(ValueError, match=r"`name` must be one of \['autoint', .* Received: 'ffm'"):
        build_model("ffm", tiny.FIELDS)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("fm", {"mlp_widths": (4,)}, r"Options of 'fm' must be among \[\]. Received: \['mlp_w"),
        ("dcn", {"attention": {}}, r"'dcn' must be among \['cross_layers', .*\['attention'\]"),
        ("deepfm", {"drop_out": 0.5}, r"among \['mlp_widths', 'dropout'\].*\['drop_out'\]"),
        ("linear", {"embedding": keras.layers.Embedding(16, 2)}, "`embedding` must be given to"),
        ("linear", {"prune_linear": True}, r"to one of \['deepfm', 'fm'\]. Received: 'linear'"),
        ("deepfm", {"mlp_widths": "100"}, r"`widths` must be a list such as .* Received: '100'"),
        ("fm", {"embedding_dim": 2.5}, "`output_dim` must be a whole number"),
        ("dcn", {"prune_linear": True}, r"to one of \['deepfm', 'fm'\]. Received: 'dcn'"),
    ],
)
def test_what_a_model_has_no_use_for(name, given, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, tiny.FIELDS, **given)


LAYER = keras.layers.Embedding(16, 2)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "fm",
            {"embedding": LAYER, "embedding_dim": 2},
            "`embedding_dim` has no effect with an `emb",
        ),
        (
            "fm",
            {"embedding": LAYER, "threshold_init": -5.0},
            "`threshold_init` has no effect with an",
        ),
        (
            "fm",
            {"pruning": "none", "granularity": "field"},
            "`granularity` has no effect with pruning",
        ),
        (
            "fm",
            {"pruning": "none", "threshold_init": -5.0},
            "pruning='none', which has no thresholds",
        ),
        ("linear", {"embedding_dim": 8}, "`embedding_dim` has no effect with name='linear'"),
        ("linear", {"pruning": "none"}, "`pruning` has no effect with name='linear'"),
    ],
)
def test_what_has_no_effect_beside_something_else(name, given, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, tiny.FIELDS, **given)


def test_thresholds_of_first_order_weights_beside_an_embedding_that_was_built_apart():
    given = {"granularity": "field", "threshold_init": -4.0, "prune_linear": True}
    model = build_model("fm", tiny.FIELDS, embedding=LAYER, **given)
    np.testing.assert_array_equal(model.first_order.thresholds, np.full((3, 1), -4.0))
