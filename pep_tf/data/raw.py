"""What turns raw columns into ids inside a serving graph, whatever the data set."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from pep_tf.data.field_keys import FieldKeys
from pep_tf.data.schema import FeatureSchema

UNKNOWN = -1  # the id of a value that has none
_SHOWN_BYTES = 40  # of a value in a message


@dataclasses.dataclass(frozen=True)
class RawColumn:
    """What a request may hold in a column: what training would read there, and a sign of no value.

    Attributes:
        dtype: `tf.string` or `tf.int64`.
        must_be: what a value must be, in words that follow "must be".
        missing: how a request says that it has no value, since REST has no null tensor; None where
            it must have one.
        example: a value to send where none may be missing.
    """

    dtype: tf.DType
    must_be: str
    missing: str | int | None
    example: str | int | None = None

    @property
    def blank(self) -> str | int | None:
        """The least that a request can send."""
        return self.example if self.missing is None else self.missing


class RawTransform(Protocol):
    """Raw columns to ids, as in training; a `tf.Module` where it has variables.

    - What training would refuse to read fails the request, by the column's name: see `refuse`.
    - A value without an id of its own either gets the id that the data set keeps for such values, or
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

    def raw_columns(self) -> dict[str, RawColumn]:
        """The columns that it reads, each a tensor [B]."""
        ...

    def field_keys(self) -> list[FieldKeys]:
        """What the ids of each field stand for, in the order of the fields."""
        ...


Examples = Mapping[str, np.ndarray]  # a few rows of the log, `{column: values}`


def refuse(
    columns: Mapping[str, RawColumn], values: Sequence[tf.Tensor], refused: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Fails the batch with InvalidArgument where a value is one that training would refuse.

    The message names the column, what it must hold, the value and its row. One bad row fails the whole
    request: an answer for it would be a number of no meaning that nobody notices.

    Args:
        columns: what was asked for.
        values: string or int64 [B], those of each column.
        refused: bool [B], which of them are refused.

    Returns:
        A tensor to hang the rest on by `tf.control_dependencies`.
    """

    def fail() -> tf.Tensor:
        row, column = tf.unstack(tf.where(tf.stack(refused, axis=1))[0])  # of the first bad row
        texts = [v if v.dtype == tf.string else tf.strings.as_string(v) for v in values]
        value = tf.strings.substr(tf.stack(texts, axis=1)[row, column], 0, _SHOWN_BYTES)
        # A message must be UTF-8, or the client may not be able to read it.
        value = tf.strings.unicode_transcode(
            value, "UTF-8", "UTF-8", replace_control_characters=True
        )
        demand = tf.gather([_demand(name, c) for name, c in columns.items()], column)
        message = tf.strings.join([demand, value, "` in row ", tf.strings.as_string(row)])
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.constant(False)

    # The message is made in the branch, so that a good request does not pay for it.
    return tf.cond(tf.reduce_any(tf.stack(refused)), fail, lambda: tf.constant(True))


def _demand(name: str, column: RawColumn) -> str:
    demand = f"`{name}` must be {column.must_be}"
    if column.missing is not None:
        # Without quotes: TensorFlow would put backslashes before them.
        demand += f", or {'empty' if column.missing == '' else column.missing} where it is missing"
    return demand + ". Received: `"
