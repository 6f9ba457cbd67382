"""All variables of a training run as they are stored, from which it goes on bit for bit."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pep_tf.tables import RowVariable


def stored_variables(
    model: keras.Model, optimizer: Any, others: Sequence[keras.Variable] = ()
) -> dict[str, keras.Variable]:
    """Variables of a model, its optimizer and others, by name for a file of arrays."""
    # `model.variables` holds the state of each dropout's seed generator, `model.weights` not.
    named = [(v.name, v) for v in model.variables]
    # Names in the optimizer contain the model's, which Keras numbers through a session.
    named += [("optimizer", v) for v in (*optimizer.variables, *others)]
    return {f"variable/{index:03d}/{name}": v for index, (name, v) in enumerate(named)}


def stored_values(variables: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Their values; rows that are updated lazily are not brought up to date."""
    return {name: v._value.numpy() for name, v in variables.items()}


def fits(
    variables: Mapping[str, keras.Variable],
    arrays: Mapping[str, np.ndarray],
    prefix: str = "variable/",
) -> bool:
    """Whether the arrays with this prefix are values of exactly these variables."""
    # A scalar is stored with shape [1].
    own = {name: tuple(v.shape) or (1,) for name, v in variables.items()}
    return own == {n: array.shape for n, array in arrays.items() if n.startswith(prefix)}


def restore(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Sets variables to what `stored_values` gave."""
    for name, variable in variables.items():
        value = arrays[name].reshape(variable.shape)
        # Rows are as they were stored, not up to date: the optimizer's state goes with them.
        getattr(variable, "assign_raw", variable.assign)(value)
    for table in {v.row_table: None for v in variables.values() if isinstance(v, RowVariable)}:
        if table.keeper is not None:
            table.keeper.loaded()
