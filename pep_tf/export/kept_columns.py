"""Which columns of the embeddings of each field are not always zero, and the numbers in them."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed import FieldTable, StoredTable

# What it costs to pick one number of a row, and to copy one with all others of its field, in
# multiplications of a matrix product (TensorFlow 2.21 on 2 cores: 8 ns and .7 ns, where one takes .04).
_PICK, _COPY = 200, 20
_UNITS = 100  # of a layer for which it is decided what to pick


class KeptNumbers(NamedTuple):
    """The numbers of a batch that may be other than zero.

    Attributes:
        whole: float [B, W, d], the fields that are taken whole.
        single: float [B, K], columns of other fields.
    """

    whole: tf.Tensor
    single: tf.Tensor


@dataclasses.dataclass(frozen=True)
class KeptColumns:
    """Fields that are taken whole, and columns that are taken of others.

    Attributes:
        num_fields, dim: F and d.
        fields: int64 [W], those taken whole.
        columns: int64 [K], columns of the others, counted in embeddings [B, F d].
        stored: whether the table stores them so, see `FieldTable.kept_numbers`; else they are picked from
            embeddings.
    """

    num_fields: int
    dim: int
    fields: np.ndarray
    columns: np.ndarray
    stored: bool = False

    @classmethod
    def of(cls, kept: np.ndarray) -> "KeptColumns":
        """What is cheapest to take, where kept, bool [F, d], says what is not always zero."""
        num_fields, dim = kept.shape
        whole = kept.sum(axis=1) * (_PICK + _UNITS) > dim * (_COPY + _UNITS)
        columns = np.flatnonzero(kept & ~whole[:, None])
        return cls(num_fields, dim, np.flatnonzero(whole), columns)

    @classmethod
    def of_stored(cls, table: StoredTable) -> "KeptColumns | None":
        """Those of a table that stores them apart; None if it does not."""
        if not isinstance(table, FieldTable):
            return None
        return cls(table.num_fields, table.dim, *table.kept_columns, stored=True)

    @property
    def rows(self) -> np.ndarray:
        """int64: their rows in a matrix [F d, units], those of whole fields first."""
        whole = self.dim * self.fields[:, None] + np.arange(self.dim)
        return np.concatenate([whole.reshape(-1), self.columns])

    def worth(self, units: int) -> bool:
        """Whether a product with a matrix [F d, units] is faster without the others."""
        copied, picked = self.dim * len(self.fields), len(self.columns)
        saved = (self.num_fields * self.dim - copied - picked) * units
        return saved > (0 if self.stored else _COPY * copied + _PICK * picked)

    def pick(self, embedded: tf.Tensor) -> KeptNumbers:
        """Their numbers in embeddings [B, F, d]."""
        flat = tf.reshape(embedded, [-1, self.num_fields * self.dim])
        return KeptNumbers(_take(embedded, self.fields), _take(flat, self.columns))

    def where(self, known: tf.Tensor, numbers: KeptNumbers) -> KeptNumbers:
        """The numbers, and zeros where `known`, bool [B, F], says that a feature is not."""
        whole = tf.expand_dims(_take(known, self.fields), 2)
        single = _take(known, self.columns // self.dim)
        return KeptNumbers(
            tf.where(whole, numbers.whole, 0.0), tf.where(single, numbers.single, 0.0)
        )

    def product(self, numbers: KeptNumbers, matrix: tf.Tensor) -> tf.Tensor:
        """[B, units] of numbers and the matrix [len(rows), units]."""
        # Side by side, since one product, to which TensorFlow adds the bias, is faster than two.
        whole = tf.reshape(numbers.whole, [-1, self.dim * len(self.fields)])
        parts = [part for part in (whole, numbers.single) if part.shape[1]]
        return tf.matmul(tf.concat(parts or [whole], axis=1), matrix)

    def sum_of_fields(self, numbers: KeptNumbers) -> tf.Tensor:
        """[B, d], the sum of the embeddings of a row."""
        parts = []
        if len(self.fields):
            parts.append(tf.reduce_sum(numbers.whole, axis=1))
        if len(self.columns):
            place = np.eye(self.dim)[self.columns % self.dim]
            parts.append(tf.matmul(numbers.single, tf.constant(place, numbers.single.dtype)))
        return tf.add_n(parts) if parts else _zeros(numbers, self.dim)


def _take(values: tf.Tensor, columns: np.ndarray) -> tf.Tensor:
    return tf.gather(values, tf.constant(columns, tf.int32), axis=1)


def _zeros(numbers: KeptNumbers, width: int) -> tf.Tensor:
    return tf.zeros([tf.shape(numbers.single)[0], width], numbers.single.dtype)
