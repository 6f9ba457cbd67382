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
        kept: bool [n], which values are known; the others keep their places and are not found.
    """

    dtype = tf.int64

    def __init__(self, values: np.ndarray, name: str, kept: np.ndarray | None = None) -> None:
        super().__init__(name=name)
        self._vocabulary = values
        ids = _places_of(values, kept)
        self._values = tf.Variable(values[ids].astype(np.int64), trainable=False, name=name)
        self._ids = tf.Variable(ids, trainable=False, name=f"{name}_ids")

    def without(self, empty: np.ndarray) -> "NumberLookup":
        """The same without the values at these places, bool [n]."""
        return NumberLookup(self._vocabulary, self.name, ~empty)

    def __call__(self, numbers: tf.Tensor) -> tf.Tensor:
        return _found(self._values, self._ids, numbers, numbers, self._values)


class TextLookup(tf.Module):
    """Texts to their places, int32: found by a hash, then compared with the text that is there.

    Args:
        values: texts [n], str (which become UTF-8) or bytes, without repeats.
        name: of the vocabulary.
        kept: as for `NumberLookup`.

    Raises:
        DataError: two texts with the same 63-bit hash.
    """

    dtype = tf.string

    def __init__(self, values: np.ndarray, name: str, kept: np.ndarray | None = None) -> None:
        super().__init__(name=name)
        self._vocabulary = values
        texts = [v.encode() if isinstance(v, str) else v for v in values.tolist()]
        hashes = _hash(tf.constant(texts)).numpy()
        if len(np.unique(hashes)) < len(hashes):
            raise DataError(f"Two values of {name!r} have the same 63-bit hash: drop one of them.")
        ids = _places_of(values, kept)
        ids = ids[np.argsort(hashes[ids])]
        ordered = tf.constant([texts[place] for place in ids], tf.string)
        self._hashes = tf.Variable(hashes[ids], trainable=False, name=f"{name}_hashes")
        self._texts = tf.Variable(ordered, trainable=False, name=f"{name}_texts")
        self._ids = tf.Variable(ids, trainable=False, name=f"{name}_ids")

    def without(self, empty: np.ndarray) -> "TextLookup":
        """The same without the values at these places, bool [n]."""
        return TextLookup(self._vocabulary, self.name, ~empty)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        return _found(self._hashes, self._ids, _hash(texts), texts, self._texts)


def _places_of(values: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """int32: the places of the values that are kept; at least one, for a table needs one to compare with."""
    kept = np.ones(len(values), bool) if kept is None else kept
    return np.flatnonzero(kept if kept.any() else np.arange(len(values)) == 0).astype(np.int32)


def _found(
    keys: tf.Variable, ids: tf.Variable, wanted: tf.Tensor, asked: tf.Tensor, own: tf.Variable
) -> tf.Tensor:
    """The id whose key is `wanted` and whose own value is `asked`, else `UNKNOWN`; int32."""
    sorted_keys = keys.read_value()
    place = tf.minimum(tf.searchsorted(sorted_keys, wanted), tf.size(sorted_keys) - 1)
    same = tf.gather(own.read_value(), place) == asked
    return tf.where(same, tf.gather(ids.read_value(), place), UNKNOWN)


def _hash(texts: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_hash_bucket_fast(texts, _BUCKETS)
