"""What training asks of a data set: three splits that stream batches in a repeatable order."""

import dataclasses
import hashlib
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pep_tf.data.raw import Examples, RawTransform
from pep_tf.data.schema import FeatureSchema


class Split(Protocol):
    """Rows of one split. `md5` names which rows they are (see the class that implements it)."""

    @property
    def num_rows(self) -> int: ...

    @property
    def md5(self) -> str: ...

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """Streams (ids int32 [B, F], label float32 [B]); ids are per field, without offsets.

        The order is a function of (`seed`, `epoch`) alone, so that a resumed run can name where it
        stopped by a batch number and needs no iterator state.

        Args:
            batch_size: rows a batch; the last batch of an epoch holds what is left.
            seed: shuffles when given; None keeps the stored order.
            epoch: which shuffle of that seed.
            start: number of leading batches to leave out.
        """
        ...


@dataclasses.dataclass(frozen=True)
class CTRData:
    """A data set ready to train on.

    Attributes:
        name: the data set that was really used; written into every result.
        schema: fields and vocabulary sizes.
        train, validation, test: the splits.
        details: JSON-ready facts on its origin (source, rows read, rows dropped, features).
        transform: raw columns to the ids of this data set, for serving; None where there are none.
        examples: two raw rows, for the requests that an export comes with; None where the raw rows
            are not at hand.
    """

    name: str
    schema: FeatureSchema
    train: Split
    validation: Split
    test: Split
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    transform: RawTransform | None = None
    examples: Examples | None = None


class ArraySplit:
    """A split held in memory.

    Args:
        ids: int32 [n, F], ids per field.
        labels: float32 [n], 0 or 1.
        rows: int64 [n], each row's index in the whole data set; `md5` is the md5 of these.
    """

    def __init__(self, ids: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> None:
        self.ids = np.ascontiguousarray(ids, np.int32)
        self.labels = np.ascontiguousarray(labels, np.float32)
        self.md5 = hashlib.md5(np.ascontiguousarray(rows, "<i8").tobytes()).hexdigest()

    @property
    def num_rows(self) -> int:
        return len(self.labels)

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """See `Split.batches`."""
        order = np.arange(self.num_rows, dtype=np.int64)
        if seed is not None:
            order = np.random.default_rng([seed, epoch]).permutation(order)
        ids, labels, rows = tf.constant(self.ids), tf.constant(self.labels), tf.constant(order)

        def batch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            taken = rows[index * batch_size : (index + 1) * batch_size]
            return tf.gather(ids, taken), tf.gather(labels, taken)

        return (
            tf.data.Dataset.range(start, -(-self.num_rows // batch_size))
            .map(batch, num_parallel_calls=2, deterministic=True)
            .prefetch(4)
        )
