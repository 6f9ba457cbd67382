"""Training of a model whose tables are looked up as they will be stored."""

import dataclasses
import pathlib
from typing import Any

import keras

from pep_tf import distributed
from pep_tf.data import CTRData
from pep_tf.errors import ModelError
from pep_tf.layers.table_layer import TableLayer
from pep_tf.tables.packed.values import LEARNED, StoredAs, check_stored_as, dtype_of
from pep_tf.tables.sharded_table import is_sharded
from pep_tf.training.fit import FitResult, fit
from pep_tf.training.layer_state import own_weights, walk
from pep_tf.training.progress import Reporter
from pep_tf.training.settings import Settings
from pep_tf.training.swap import keyed, swap_layers

# Of the learning rate, once numbers are rounded. What is rounded from the start ends lower: at 1 % of the
# bytes of MovieLens-1M (experiments/methods_movielens_1m.py, seed 0) its validation AUC is .8392, with
# these .8398; without the second .8396.
RATES = (0.3, 0.06)


def fit_as_stored(
    model: keras.Model,
    data: CTRData,
    settings: Settings,
    dtype: StoredAs,
    *,
    stage: str,
    checkpoint: pathlib.Path | None = None,
    reporter: Reporter | None = None,
) -> tuple[keras.Model, FitResult]:
    """Trains a model with the numbers that will be stored, once it is trained with those it has.

    Each part is a `fit` with a patience of its own, and goes on from the best epoch of the one before.

    Args:
        model, data, settings, stage, checkpoint, reporter: see `fit`.
        dtype: see `rounded_model`; of one that is not rounded in training, this is `fit`.

    Returns:
        The model that came out, and metrics and epochs of all parts as one training.

    Raises:
        DataError, ModelError, RunError: see `fit` and `rounded_model`, before the first step.
    """
    layers, _ = _layers_to_round(
        model, dtype
    )  # what cannot be rounded is refused before it is trained
    result = fit(model, data, settings, stage=stage, checkpoint=checkpoint, reporter=reporter)
    if not layers:
        return model, result
    with distributed.whole_tables():
        model = rounded_model(model, dtype)
    for part, rate in enumerate(RATES, 1):
        own = checkpoint and rounded_checkpoint(checkpoint, f"{part}-{result.epochs}")
        slower = dataclasses.replace(settings, learning_rate=rate * settings.learning_rate)
        name = f"{stage}, rounded {part}"
        later = fit(model, data, slower, stage=name, checkpoint=own, reporter=reporter)
        result = result.then(later)
    return model, result


def rounded_checkpoint(checkpoint: pathlib.Path, part: str) -> pathlib.Path:
    """A part's checkpoint; its name holds the epochs before it, since a later call may ask for more."""
    return checkpoint.with_name(f"{checkpoint.stem}.rounded{part}{checkpoint.suffix}")


def rounded_model(model: keras.Model, dtype: StoredAs) -> keras.Model:
    """A copy of a model in which the numbers of tables are rounded to what is stored of them.

    Steps start from the numbers that the tables have; see `LearnedSteps`.

    Args:
        model: built; returned as it is where no table's dtype is of those that round in training.
        dtype: `"lsq8"`, `"lsq4"` or another; or that of each table by key, see `keyed`.

    Raises:
        RunError: an unknown dtype or table.
        ModelError: a table that cannot be rounded, or a model that cannot be made anew.
    """
    layers, new = _layers_to_round(model, dtype)
    return swap_layers(model, layers, new, _carry_over) if layers else model


def _layers_to_round(
    model: keras.Model, dtype: StoredAs
) -> tuple[dict[str, TableLayer], dict[str, TableLayer]]:
    """The tables that round in training, by key, and the layers, not yet built, that take their place."""
    tables = keyed({path: x for path, x in walk(model) if isinstance(x, TableLayer)})
    check_stored_as(dtype, tables)
    layers = {key: x for key, x in tables.items() if dtype_of(dtype, key) in LEARNED}
    new = {}
    for key, layer in layers.items():
        if any(map(is_sharded, layer.weights)):
            raise ModelError(
                f"The table {key!r}, of which each process has a part, cannot be in {dtype_of(dtype, key)}: "
                "make the model within pep_tf.distributed.whole_tables()."
            )
        config = {**layer.get_config(), "stored_dtype": dtype_of(dtype, key)}
        try:
            new[key] = type(layer).from_config(config)
        except ValueError as error:
            raise ModelError(
                f"The table {key!r} cannot be in {dtype_of(dtype, key)}: {error}"
            ) from error
    return layers, new


def _carry_over(old: Any, made: Any) -> None:
    values = own_weights(old)
    for name, weight in own_weights(made).items():
        if name in values:
            weight.assign(values[name])
    made.begin_steps()
