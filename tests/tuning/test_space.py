import keras_tuner
import pytest

from pep_tf.errors import RunError
from pep_tf.experiments.config import make_config
from pep_tf.tuning.space import TUNABLE, PruningHyperModel, declared, describe, values_of
from tests import tiny


def base(**changes):
    return make_config("tiny", 200, {"embedding_dim": 8, "budgets": ["20%", "5%"], **changes})


def space(tune=None, **changes):
    return declared(PruningHyperModel(base(**changes), tiny.DATA, tune))


def test_the_defaults_are_the_default_configuration_in_numbers():
    model = PruningHyperModel(base(threshold_init="auto"), tiny.DATA)
    config = model.config(declared(model))
    assert config == model.base
    assert config.threshold_init < 0
    assert config.threshold_learning_rate >= config.learning_rate
    assert config.threshold_l2 == config.l2


def test_the_ranges_lie_around_the_defaults():
    shown = describe(space(threshold_init=-10.0, threshold_learning_rate=0.01))
    assert list(shown) == [name for name in TUNABLE if name != "dropout"]  # an FM has none
    assert shown["embedding_dim"]["values"] == [2, 4, 8]
    assert (shown["threshold_init"]["min_value"], shown["threshold_init"]["max_value"]) == (-15, -5)
    rate = shown["threshold_learning_rate"]
    assert (rate["min_value"], rate["max_value"]) == pytest.approx((0.0025, 0.04))
    assert rate["sampling"] == "log"
    assert len(shown["granularity"]["values"]) == 6


def test_dimensions_whose_table_is_smaller_than_a_budget_are_left_out():
    assert describe(space(budgets=["50%"]))["embedding_dim"]["values"] == [4, 8]
    assert "embedding_dim" not in describe(space(budgets=["51%"]))


def test_a_deepfm_has_dropout():
    assert describe(space(model="deepfm"))["dropout"]["default"] == 0.2


def test_a_part_of_the_space():
    assert list(describe(space(tune=["threshold_init", "l2"]))) == ["l2", "threshold_init"]


def test_a_rate_of_zero_stays():
    assert "l2" not in describe(space(l2=0.0))


def test_a_space_of_ones_own():
    class Own(PruningHyperModel):
        def declare_hyperparameters(self, hp):
            hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
            hp.Choice("halves", [0, 1, 2])

        def config(self, hp):
            own = hp.copy()
            dim = self.base.embedding_dim // 2 ** own.values.pop("halves")
            own.values["embedding_dim"] = dim
            return super().config(own)

    model = Own(base(), tiny.DATA)
    hp = declared(model)
    hp.values.update(halves=2, learning_rate=0.002)
    config = model.config(hp)
    assert (config.embedding_dim, config.learning_rate) == (2, 0.002)
    assert model.build(hp).embedding.output_dim == 2


def test_values_leave_out_what_hyperband_adds():
    hp = keras_tuner.HyperParameters()
    hp.values = {"b": 1, "a": 2, "tuner/epochs": 3}
    assert list(values_of(hp).items()) == [("a", 2), ("b", 1)]


def test_an_empty_space():
    with pytest.raises(RunError, match="search space is empty: `tune` must name at least one"):
        space(tune=[])


def test_an_unknown_name():
    with pytest.raises(RunError, match=r"some of embedding_dim, .*Received: \['batch_size'\]"):
        space(tune=["l2", "batch_size"])


def test_a_value_that_no_run_can_have():
    model = PruningHyperModel(base(), tiny.DATA)
    hp = declared(model)
    hp.values["colour"] = "red"
    with pytest.raises(RunError, match=r"Unknown settings \['colour'\]"):
        model.config(hp)
