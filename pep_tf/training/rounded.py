"""A model whose tables are looked up as they will be stored, for training."""

from typing import Any

import keras

from pep_tf.errors import ModelError
from pep_tf.layers.table_layer import TableLayer
from pep_tf.tables.packed.values import LEARNED, StoredAs, check_stored_as, dtype_of
from pep_tf.training.layer_state import own_weights, walk
from pep_tf.training.swap import keyed, swap_layers


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
    tables = keyed({path: x for path, x in walk(model) if isinstance(x, TableLayer)})
    check_stored_as(dtype, tables)
    layers = {key: x for key, x in tables.items() if dtype_of(dtype, key) in LEARNED}
    if not layers:
        return model
    new = {}
    for key, layer in layers.items():
        config = {**layer.get_config(), "stored_dtype": dtype_of(dtype, key)}
        try:
            new[key] = type(layer).from_config(config)
        except ValueError as error:
            raise ModelError(
                f"The table {key!r} cannot be in {dtype_of(dtype, key)}: {error}"
            ) from error
    return swap_layers(model, layers, new, _carry_over)


def _carry_over(old: Any, made: Any) -> None:
    values = own_weights(old)
    for name, weight in own_weights(made).items():
        if name in values:
            weight.assign(values[name])
    made.begin_steps()
