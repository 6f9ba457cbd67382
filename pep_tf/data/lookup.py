"""Vocabularies of a serving graph: from a raw value to its place, by plain operations."""

import numpy as np
import tensorflow as tf

from pep_tf.data.raw import UNKNOWN
from pep_tf.errors import DataError

_BUCKETS = 2**63 - 1  # of the hash by which texts are found


class NumberLookup(tf.Module):
    """Whole numbers to their places, int32; a number that is not there gets `UNKNOWN`.

    Args:
        values: int64 [n], sorted.
        name: of the vocabulary.
    """

    dtype = tf.int64

    def __init__(self, values: np.ndarray, name: str) -> None:
        super().__init__(name=name)
        self._values = tf.Variable(values.astype(np.int64), trainable=False, name=name)

    def __call__(self, numbers: tf.Tensor) -> tf.Tensor:
        values = self._values.read_value()
        place = _place(values, numbers)
        return tf.where(tf.gather(values, place) == numbers, place, UNKNOWN)


class TextLookup(tf.Module):
    """Texts to their places, int32: found by a hash, then compared with the text that is there.

    Args:
        values: texts [n], str (which become UTF-8) or bytes, without repeats.
        name: of the vocabulary.

    Raises:
        DataError: two texts with the same 63-bit hash.
    """

    dtype = tf.string

    def __init__(self, values: np.ndarray, name: str) -> None:
        super().__init__(name=name)
        texts = [v.encode() if isinstance(v, str) else v for v in values.tolist()]
        hashes = _hash(tf.constant(texts)).numpy()
        if len(np.unique(hashes)) < len(hashes):
            raise DataError(f"Two values of {name!r} have the same 63-bit hash: drop one of them.")
        order = np.argsort(hashes)
        ordered = [texts[place] for place in order]
        self._hashes = tf.Variable(hashes[order], trainable=False, name=f"{name}_hashes")
        self._texts = tf.Variable(ordered, trainable=False, name=f"{name}_texts")
        self._ids = tf.Variable(order.astype(np.int32), trainable=False, name=f"{name}_ids")

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        place = _place(self._hashes.read_value(), _hash(texts))
        found = tf.gather(self._texts.read_value(), place) == texts
        return tf.where(found, tf.gather(self._ids.read_value(), place), UNKNOWN)


def _hash(texts: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_hash_bucket_fast(texts, _BUCKETS)


def _place(values: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """The only place in the sorted values where `wanted` can be, int32."""
    return tf.minimum(tf.searchsorted(values, wanted), tf.size(values) - 1)
