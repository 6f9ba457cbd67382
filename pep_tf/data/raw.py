"""What turns raw columns into ids inside a serving graph, whatever the data set."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import tensorflow as tf

from pep_tf.data.schema import FeatureSchema

UNKNOWN = -1  # the id of a value that has none
# How a request says that it has no value, by the type of the column; REST has no null tensor.
MISSING = {tf.string: "", tf.int64: -1}


class RawTransform(Protocol):
    """Raw columns to ids, as in training; a `tf.Module` where it has variables.

    A value without an id of its own either gets the id that the data set keeps for such values, or
    `UNKNOWN`: it then adds nothing, as a feature of which no entry survived.
    """

    @property
    def schema(self) -> FeatureSchema:
        """The fields, in the order of the ids."""
        ...

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """int32 [B, F], per-field ids or `UNKNOWN`, of `{column: tensor [B]}`."""
        ...

    def without(self, empty: np.ndarray) -> "RawTransform":
        """The transform of a model to which the features `empty`, bool [N], add nothing.

        It may leave values out of its vocabulary, by one rule: a feature that is left out gets what
        an unknown value gets, so this must add nothing either. Where a field keeps an id for
        unknown values, all features of the field stay unless that one is empty as well: a known
        feature without a survivor must not turn into the unknown one.
        """
        ...

    def raw_spec(self) -> dict[str, tf.TensorSpec]:
        """Type of each column, all of shape [None]: string, or int64 of numbers from 0."""
        ...


Examples = Mapping[str, np.ndarray]  # a few rows of the log, `{column: values}`
