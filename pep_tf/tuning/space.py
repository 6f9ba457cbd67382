"""The search space: which settings of a run a search varies, and around which defaults."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras_tuner

from pep_tf.data import CTRData
from pep_tf.errors import RunError
from pep_tf.experiments.config import Config, make_config
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.layers import GRANULARITIES
from pep_tf.models import models_with
from pep_tf.numbers import listed
from pep_tf.training import Silent, resolve_budgets
from pep_tf.training.methods import PEP

_INTERNAL = "tuner/"  # prefix of what Hyperband adds to a trial's values
TUNABLE = (
    "embedding_dim",
    "granularity",
    "dropout",
    "l2",
    "threshold_l2",
    "threshold_init",
    "threshold_learning_rate",
)
# Of methods without thresholds.
_WITHOUT_THRESHOLDS = ("embedding_dim", "learning_rate", "dropout", "l2")

_FACTORS = {
    "learning_rate": 4.0,
    "l2": 10.0,
    "threshold_l2": 100.0,
    "threshold_learning_rate": 4.0,
}  # below and above


class PruningHyperModel(keras_tuner.HyperModel):
    """The settings of a pruning run as hyperparameters, each around its default.

    The space is declared once, before the first trial. Grid search varies the last one fastest.

    | hyperparameter | range |
    |---|---|
    | embedding_dim | d, d/2, d/4, as far as the table holds the largest budget |
    | granularity | all six |
    | dropout (models with an MLP) | 0 to 0.5 |
    | l2 | a tenth to ten times the default, log |
    | threshold_l2 | a hundredth to a hundred times `l2`'s default, log |
    | threshold_init | 1.5 to 0.5 times s0 |
    | threshold_learning_rate | a quarter to four times the default, log |

    With another method than pep these are embedding_dim, dropout, l2 and, from a quarter to four times
    the default, learning_rate.

    To search other settings, subclass it: declare hyperparameters named after fields of `Config` in
    `declare_hyperparameters`, or translate others in `config`.

    Args:
        base: the default configuration, which is trial 0 of every search.
        data: the data set.
        tune: names of the hyperparameters to vary; None for all.

    Raises:
        RunError: an unknown name.

    Example:
        >>> class LearningRate(PruningHyperModel):
        ...     def declare_hyperparameters(self, hp):
        ...         super().declare_hyperparameters(hp)
        ...         hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    """

    def __init__(self, base: Config, data: CTRData, tune: Sequence[str] | None = None) -> None:
        super().__init__()
        self.data = data
        self.base = _with_numbers(base, data)
        self.asked = () if tune is None else listed("tune", tune, "'l2','dropout'")
        known = TUNABLE if base.method == PEP else _WITHOUT_THRESHOLDS
        if unknown := sorted(set(self.asked) - set(known)):
            raise RunError(f"`tune` must name some of {', '.join(known)}. Received: {unknown}")
        self.tune = [name for name in known if tune is None or name in self.asked]

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declares the space; KerasTuner's own hook."""
        for name in self.tune:
            default: Any = getattr(self.base, name)
            if name == "embedding_dim" and len(dims := self._dims()) > 1:
                hp.Choice(name, dims, default=default)
            elif name == "granularity":
                hp.Choice(name, list(GRANULARITIES), default=default)
            elif name == "dropout" and self.base.model in models_with(name):
                hp.Float(name, 0.0, max(0.5, default), default=default)
            elif name == "threshold_init" and (start := float(default)):
                hp.Float(name, *sorted((0.5 * start, 1.5 * start)), default=start)
            elif name in _FACTORS and default > 0:  # on a log scale there is no range around 0
                bounds = default / _FACTORS[name], default * _FACTORS[name]
                hp.Float(name, *bounds, sampling="log", default=default)

    def config(self, hp: keras_tuner.HyperParameters) -> Config:
        """The configuration of a trial.

        Raises:
            RunError: a value that `Config` refuses.
        """
        changes = {**dataclasses.asdict(self.base), **values_of(hp)}
        return make_config(self.data.name, self.data.train.num_rows, changes)

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        """The model to prune; KerasTuner's own hook."""
        return run_of(self.config(hp), self.data).model("threshold")

    def _dims(self) -> list[int]:
        """d and its halves, as far as the table holds the largest budget."""
        dim, num_features = self.base.embedding_dim, self.data.schema.num_features
        largest = resolve_budgets(self.base.budgets, num_features * dim)[0]
        return sorted(d for d in {dim // 4, dim // 2, dim} if d and num_features * d >= largest)


def _with_numbers(base: Config, data: CTRData) -> Config:
    """The same configuration without 'auto' and None: what a search varies needs a value."""
    run = run_of(base, data)
    if base.method != PEP:
        return base
    rate, l2 = run.settings.threshold_learning_rate, base.threshold_l2
    return dataclasses.replace(
        base,
        threshold_init=run.threshold_init,
        threshold_learning_rate=base.learning_rate if rate is None else rate,
        threshold_l2=base.l2 if l2 is None else l2,
    )


def run_of(config: Config, data: CTRData, folder: pathlib.Path = pathlib.Path()) -> Run:
    """The run of a configuration; nothing is written before it is called."""
    return Run(config, data, RunFolder(folder), Silent())


def declared(hypermodel: keras_tuner.HyperModel) -> keras_tuner.HyperParameters:
    """The declared space.

    Raises:
        RunError: an empty one, or one without something that `tune` names.
    """
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    if not hp.space:
        raise RunError("The search space is empty: `tune` must name at least one hyperparameter.")
    for name in getattr(hypermodel, "asked", ()):
        if name not in hp:
            raise RunError(
                f"`tune` names {name}, of which there is nothing to vary: {_FIXED[name]}."
            )
    return hp


_FIXED = {
    "embedding_dim": "a narrower table does not hold the largest budget",
    "dropout": "the model has none",
    **dict.fromkeys(
        ("l2", "threshold_l2", "threshold_init", "threshold_learning_rate"), "it was set to 0"
    ),
}


def describe(hp: keras_tuner.HyperParameters) -> dict[str, dict[str, Any]]:
    """The space as JSON-ready values: `{name: {kind, default, and the range or the choices}}`."""
    shown = {}
    for entry in hp.space:
        config = entry.get_config()
        name = config.pop("name")
        keep = {key: value for key, value in config.items() if value not in (None, [])}
        shown[name] = {"kind": type(entry).__name__, **keep}
    return shown


def values_of(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    """A trial's values, without those that Hyperband adds."""
    return {k: v for k, v in sorted(hp.values.items()) if not k.startswith(_INTERNAL)}
