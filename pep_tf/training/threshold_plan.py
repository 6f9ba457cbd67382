"""Where the thresholds of a model start and what moves them, for any optimizer and number of steps."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.errors import ModelError, RunError
from pep_tf.layers import PEPEmbedding
from pep_tf.numbers import read_fields
from pep_tf.optimizers import CoupledAdam
from pep_tf.training.threshold_start import CLIMB, threshold_schedule

TARGET = 15.0  # above 0, where the published method stalls
_OFF = -1000.0  # s at which a sigmoid is 0 and has no slope
_ROWS_TO_JUDGE = 1 << 16
_PARTS = 100  # of a learning-rate schedule that are averaged


@dataclasses.dataclass(frozen=True)
class ThresholdPlan:
    """What thresholds are given before the first step.

    Attributes:
        start: s; None leaves the thresholds as they are.
        target: what they are pulled to; None leaves the layers' own.
        learning_rate: of the thresholds, under an optimizer of this package; None leaves it.
        strength: of the pull, under any other; None leaves it.
    """

    start: float | None = None
    target: float | None = None
    learning_rate: float | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        """Raises NumberError for anything but a number."""
        read_fields(self, {})


def automatic(
    tables: Mapping[str, PEPEmbedding], optimizer: keras.optimizers.Optimizer, steps: int
) -> ThresholdPlan:
    """A plan by which the thresholds reach the middle of the gate after 60 % of the steps.

    They start where the gate is negligible for the weights that the tables have. With an optimizer of
    this package they climb at a rate of their own; with any other they start as high as that allows,
    and as far below 0 as its learning rate carries them.

    Args:
        tables: built tables with a sigmoid gate, each with at least one non-zero entry.
        optimizer: of the model.
        steps: updates that training will make, at least 1.

    Raises:
        RunError: another gate, or an optimizer without the tables or without a learning rate.
    """
    for name, layer in tables.items():
        if layer.gate is not keras.activations.sigmoid:
            raise RunError(
                f"`threshold_init='auto'` is for a sigmoid gate. Table {name!r} has "
                f"{layer.gate.__name__!r}: give the thresholds' start as a number."
            )
    limit = min(typical_weight(layer) for layer in tables.values()) * math.sqrt(3)
    rate = mean_rate(optimizer, 0, steps)
    if isinstance(optimizer, CoupledAdam):
        own = optimizer.threshold_learning_rate
        start, needed = threshold_schedule(steps, rate if own is None else float(own), limit)
        return ThresholdPlan(start, TARGET, needed if own is None else None)
    highest, _ = threshold_schedule(steps, 0.0, limit)
    if isinstance(optimizer, keras.optimizers.SGD):
        # ds/dt = rate * strength * (target - s): from `highest` to 0 in as many steps as it should.
        momentum = optimizer.get_config().get("momentum") or 0.0
        way = math.log((TARGET - highest) / TARGET) * (1 - momentum)
        return ThresholdPlan(highest, TARGET, strength=way / max(rate * CLIMB * steps, 1e-12))
    if isinstance(optimizer, keras.optimizers.Adagrad):
        # A constant gradient g, large beside what the sum of squares starts at, gives rate / sqrt(t).
        way = 2 * rate * math.sqrt(CLIMB * steps)
        return ThresholdPlan(min(highest, -way), TARGET, strength=1.0)
    return ThresholdPlan(min(highest, -CLIMB * steps * rate), TARGET)


def own_optimizer(model: keras.Model) -> keras.optimizers.Optimizer | None:
    """The optimizer that the model was compiled with, without one around it that scales the loss."""
    optimizer = getattr(model, "optimizer", None)
    return getattr(optimizer, "inner_optimizer", optimizer)


def check_prunable(
    tables: Mapping[str, PEPEmbedding], optimizer: keras.optimizers.Optimizer | None
) -> None:
    """Refuses tables that cannot be pruned and optimizers that cannot prune.

    Raises:
        ModelError: a table of zeros, through which no gradient passes.
        RunError: an optimizer that starts every weight from 0.
    """
    for name, layer in tables.items():
        if not typical_weight(layer) > 0:
            raise ModelError(
                f"Table {name!r} is all zeros: no gradient passes a threshold to a weight of 0. Give "
                f"it an initializer, or leave it as it is by prunable(model, exclude=[{name!r}])."
            )
    if isinstance(optimizer, keras.optimizers.Ftrl):
        raise RunError(
            "Ftrl starts every weight from 0, whatever it was, so that nothing would be left of the "
            "tables. Compile the model with pep_tf.RowwiseAdam or another optimizer."
        )


def carry_out(
    plan: ThresholdPlan,
    tables: Mapping[str, PEPEmbedding],
    whole: Mapping[str, PEPEmbedding],
    restored: bool = False,
) -> None:
    """Gives tables their thresholds, and to those that keep all entries none that would prune.

    Where the thresholds themselves were `restored` they stay, and only what pulls them is set.
    """
    for layer in tables.values():
        _pull(layer, plan.target, plan.learning_rate, plan.strength)
        if plan.start is not None and not restored:
            _set(layer, plan.start)
    for layer in whole.values():
        if layer.gate is keras.activations.sigmoid:
            _pull(layer, _OFF, None, 0.0)
            if not restored:
                _set(layer, _OFF)


def _pull(layer: PEPEmbedding, target: Any, learning_rate: Any, strength: Any) -> None:
    given = {"target": target, "learning_rate": learning_rate, "strength": strength}
    if given["target"] is not None and given["target"] != _OFF and layer.pull.target:
        del given["target"]  # the layer has one of its own
    try:
        layer.pull.change(**{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise RunError(str(error)) from error


def _set(layer: Any, value: float) -> None:
    layer.thresholds.assign(tf.fill(layer.thresholds.shape, value))


def typical_weight(layer: PEPEmbedding) -> float:
    """Root mean square of V in the first rows."""
    rows = layer.read(tf.range(min(layer.table.row_table.num_rows, _ROWS_TO_JUDGE)))
    return float(tf.sqrt(tf.reduce_mean(tf.square(rows.table))))


def mean_rate(optimizer: keras.optimizers.Optimizer, first: int, steps: int) -> float:
    """The learning rate; for a schedule its mean over `steps`, from the `first` after those done.

    Raises:
        RunError: an optimizer without a learning rate.
    """
    try:
        configured = optimizer.get_config()["learning_rate"]
        if not isinstance(configured, dict):
            return float(configured)
        schedule = keras.optimizers.schedules.deserialize(configured)
        done = first + (int(optimizer.iterations) if optimizer.built else 0)
        at = np.linspace(max(0, done), done + steps, _PARTS)
        return float(np.mean([float(schedule(step)) for step in at]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{type(optimizer).__name__} tells no learning rate: give `threshold_init` as a number."
        ) from error
