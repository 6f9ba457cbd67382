"""What `fit` and `prune` are given, checked before the first step."""

from collections.abc import Mapping
from typing import Any

import keras

from pep_tf.data import CTRData
from pep_tf.data.dataset import check_data
from pep_tf.errors import RunError
from pep_tf.training.trained_on import refuse_other_data, trained_on


def check_inputs(model: keras.Model, data: Any) -> None:
    """Makes sure that the data can be trained on, and that the model was built for its fields.

    A model of your own without `fields` is not checked.

    Raises:
        DataError: data that is no `CTRData`, or that cannot be trained on or scored.
        RunError: a model of other fields, or one that was trained before under another mapping, or on
            another split of the same rows.
    """
    check_data(data)
    _check_fields(model, data)
    refuse_other_data(trained_on(model), data, "`model`", "Build a new one for this data.")


def _check_fields(model: keras.Model, data: CTRData) -> None:
    fields = getattr(model, "fields", None)
    if not isinstance(fields, Mapping):
        return
    own, found = list(fields.items()), list(data.schema.size_by_name.items())
    if own == found:
        return
    shown = f"it has {len(own)} fields, the data {len(found)}"
    for (name, size), (other, other_size) in zip(own, found, strict=False):
        if (name, size) != (other, other_size):
            shown = (
                f"its field {name!r} of size {size} is {other!r} of size {other_size} in the data"
            )
            break
    raise RunError(
        "`model` must be built for the fields of `data`, in their order: "
        f"build_model(..., data.schema.size_by_name). Received: {shown}"
    )
