import dataclasses
import json

import pytest

from pep_tf.errors import RunError
from pep_tf.training import Settings
from tests import tiny


@pytest.mark.parametrize(
    "name", ["batch_size", "epochs", "patience", "prune_epochs", "check_every", "checkpoint_every"]
)
def test_counts_must_be_positive(name):
    with pytest.raises(RunError, match=f"`{name}` must be at least 1. Received: 0"):
        Settings(**{name: 0})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rate": 0}, "`learning_rate` must be above 0. Received: 0.0"),
        ({"learning_rate": -0.5}, "`learning_rate` must be above 0. Received: -0.5"),
        (
            {"threshold_learning_rate": 0},
            "`threshold_learning_rate` must be above 0 with updates=row",
        ),
    ],
)
def test_nothing_is_learned_at_a_rate_of_0(given, message):
    with pytest.raises(RunError, match=message):
        Settings(**given)


def test_thresholds_stay_under_dense_updates_where_that_is_asked_for():
    assert Settings(threshold_learning_rate=0, updates="dense").threshold_learning_rate == 0


@pytest.mark.parametrize("name", ["l2", "threshold_learning_rate", "threshold_l2"])
def test_rates_must_not_be_negative(name):
    with pytest.raises(RunError, match=f"`{name}` must be at least 0. Received: -0.5"):
        Settings(**{name: -0.5})


def test_updates_must_be_known():
    with pytest.raises(
        RunError, match=r"`updates` must be one of \[.*'dense'.*\]. Received: 'lazy'"
    ):
        Settings(updates="lazy")


def test_changes_are_checked_as_well():
    with pytest.raises(RunError, match="`epochs` must be at least 1"):
        dataclasses.replace(Settings(), epochs=0)


def test_the_optimizer_takes_what_the_settings_say():
    settings = Settings(
        learning_rate=0.5,
        l2=0.25,
        threshold_learning_rate=0.125,
        threshold_l2=0.0,
        threshold_target=3.0,
        updates="dense",
    )
    optimizer = settings.optimizer(tiny.model("fm"))
    config = optimizer.get_config()
    assert optimizer.built
    assert {key: config[key] for key in ("learning_rate", "l2", "threshold_target")} == {
        "learning_rate": 0.5,
        "l2": 0.25,
        "threshold_target": 3.0,
    }
    assert (config["threshold_learning_rate"], config["threshold_l2"]) == (0.125, 0.0)


def test_config_is_json_and_rebuilds_the_settings():
    settings = tiny.settings(threshold_l2=0.5)
    assert Settings(**json.loads(json.dumps(settings.get_config()))) == settings
