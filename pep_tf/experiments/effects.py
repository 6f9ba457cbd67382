"""Settings that have no effect together with certain others, and are then refused."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pep_tf.errors import RunError
from pep_tf.models import models_with
from pep_tf.training.methods import METHODS, PEP

Values = Mapping[str, Any]


def _thresholds_decay(config: Values) -> bool:
    own = config["threshold_l2"]
    return (config["l2"] if own is None else own) > 0


# Settings that go by another name among the arguments of a model.
_OPTION = {"attention_dropout": "attention"}


def models_taking(setting: str) -> tuple[str, ...]:
    """The models that have a setting as an option; none for one that is not about the model."""
    return models_with(_OPTION.get(setting, setting))


# (settings, when they have an effect, why they have none otherwise)
_RULES: tuple[tuple[tuple[str, ...], Callable[[Values], bool], str], ...] = (
    (
        ("threshold_target",),
        _thresholds_decay,
        "an L2 of 0, by which thresholds are pulled to it",
    ),
    (
        (
            *("granularity", "threshold_init", "threshold_learning_rate", "threshold_l2"),
            *("threshold_target", "prune_epochs"),
        ),
        lambda c: c["method"] == PEP,
        "method={method}, which has no thresholds",
    ),
    (
        ("dense_below",),
        lambda c: c["updates"] == "rowwise",
        "updates={updates}, which updates every table whole",
    ),
    (
        ("prune_linear", "ticket_init", "no_retrain", "retrain_learning_rate", "export_keys"),
        lambda c: c["method"] in METHODS,
        "method={method}, which has no tickets",
    ),
    (
        ("ticket_init", "retrain_learning_rate"),
        lambda c: not c["no_retrain"],
        "no_retrain, which leaves tickets as they were cut",
    ),
    (
        ("export_dtype", "first_order_dtype"),
        lambda c: c["export_format"] != "none",
        "export_format={export_format}",
    ),
)


def check_effects(config: Values, given: Collection[str]) -> None:
    """Refuses settings that were given and have no effect.

    Args:
        config: all settings of a run, by name.
        given: names of those that were set on purpose.

    Raises:
        RunError: one of `given` that has no effect beside the other settings.
    """
    for name in sorted(given):
        if (models := models_taking(name)) and config["model"] not in models:
            raise RunError(
                f"`{name}` has no effect with model={config['model']}: it is for "
                f"{', '.join(models)}. Leave it out."
            )
    for names, has_effect, beside in _RULES:
        for name in names:
            if name in given and not has_effect(config):
                raise RunError(
                    f"`{name}` has no effect with {beside.format(**config)}. Leave it out."
                )
