"""From a feature's 64-bit key to its id within its field: by a hash, or by a vocabulary."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from pep_tf.data.backends import NUMPY, TENSORFLOW, Backend
from pep_tf.data.clicklogs.keys import code_of, texts_of_keys
from pep_tf.data.field_keys import FieldKeys, hash_encoding
from pep_tf.data.hashing import buckets_of, mix, salts
from pep_tf.errors import DataError
from pep_tf.numbers import INT32_MAX


@dataclasses.dataclass(frozen=True)
class HashEncoding:
    """`id = 1 + floor(h * (size - 1) / 2^32)`, h = upper half of mix(key XOR salt of the field).

    Id 0 of every field is "missing". `mix` is MurmurHash3's fmix64 and the salt depends on `seed` and
    the field's place, so that two features which share a bucket under one seed part under another.

    Args:
        sizes: buckets a field, at least 2 each, the one for "missing" included.
        seed: of the hash.

    Raises:
        DataError: a size below 2, or one or all together above 2^31 - 1.
    """

    encoding_name: ClassVar[str] = "hash"
    sizes: tuple[int, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if bad := [s for s in self.sizes if not 2 <= s <= INT32_MAX]:
            raise DataError(
                f"`buckets` must be from 2 to 2^31 - 1 for every field. Received: {bad}"
            )
        if (total := sum(self.sizes)) > INT32_MAX:
            raise DataError(
                f"`buckets` must be at most {INT32_MAX:,} in all: rows of the table are int32. "
                f"Received: {total:,}"
            )

    def ids(self, ops: Backend, keys: Any) -> Any:
        """int32 [n, F] of keys uint64 [n, F]."""
        return buckets_of(ops, keys, salts(self.seed, len(self.sizes)), np.array(self.sizes))

    def field_keys(self, kinds: Sequence[str]) -> list[FieldKeys]:
        """What the ids of fields of these kinds stand for."""
        named = zip(kinds, salts(self.seed, len(self.sizes)), self.sizes, strict=True)
        return [
            FieldKeys({**hash_encoding(self.seed, salt, size), "code": code_of(kind)})
            for kind, salt, size in named
        ]

    def config(self) -> dict[str, Any]:
        return {"name": self.encoding_name, "sizes": list(self.sizes), "seed": self.seed}

    def arrays(self) -> dict[str, np.ndarray]:
        return {}


class VocabularyEncoding(tf.Module):
    """`id = 1 + place of the key among its field's kept keys`; id 0 is out-of-vocabulary.

    Args:
        kept: one sorted uint64 array a field: the keys that have an id of their own.
        min_count: how often a feature had to be seen to be kept; for the record.
        count_on: which rows were counted, `train` or `all`; for the record.

    Raises:
        DataError: keys of a field are not sorted or repeat.
    """

    encoding_name = "vocabulary"

    def __init__(self, kept: Sequence[np.ndarray], min_count: int, count_on: str) -> None:
        super().__init__(name="vocabulary")
        self._variables: list[tf.Variable] = []
        self._kept = [np.ascontiguousarray(k, np.uint64) for k in kept]
        for field, k in enumerate(self._kept):
            if (k[1:] <= k[:-1]).any():
                raise DataError(f"Keys of field {field} must be sorted and unique.")
        self.min_count = min_count
        self.count_on = count_on
        self.sizes = tuple(1 + len(k) for k in self._kept)
        self._served = [np.ones(len(k), bool) for k in self._kept]

    def without(self, left_out: Sequence[np.ndarray]) -> "VocabularyEncoding":
        """The same ids for serving, but 0 for the keys of each field where bool [size - 1] is True."""
        smaller = VocabularyEncoding(self._kept, self.min_count, self.count_on)
        smaller._served = [~out for out in left_out]
        return smaller

    @functools.cached_property
    def _indexes(self) -> list[Any]:
        # pandas' hash table looks a chunk up several times faster than a binary search.
        import pandas as pd

        indexes = [pd.Index(k) for k in self._kept]
        for index in indexes:
            index.get_indexer(index[:1])  # Builds the table now: threads share it afterwards.
        return indexes

    def _ensure_variables(self) -> None:
        """One sorted table for all fields: their keys, told apart by a salt, and the ids."""
        if self._variables:
            return
        salt = salts(0, len(self._kept))
        named = zip(self._kept, self._served, salt, strict=True)
        table = np.concatenate([mix(NUMPY, k[served] ^ s) for k, served, s in named])
        ids = np.concatenate([1 + np.flatnonzero(served) for served in self._served])
        ids = ids.astype(np.int32)
        order = np.argsort(table)
        # A last entry that nothing equals keeps the table from being empty.
        signed = np.append(_signed(table[order]), np.iinfo(np.int64).max)
        # Variables, not constants: a vocabulary of millions would not fit a graph of 2 GB.
        with tf.init_scope(), tf.device("CPU"):
            self._variables = [
                tf.Variable(signed, trainable=False, name="keys"),
                tf.Variable(np.append(ids[order], np.int32(0)), trainable=False, name="ids"),
            ]

    def ids(self, ops: Backend, keys: Any) -> Any:
        """int32 [n, F] of keys uint64 [n, F]."""
        return self._ids_numpy(keys) if ops is NUMPY else self._ids_tensor(keys)

    def _ids_numpy(self, keys: np.ndarray) -> np.ndarray:
        ids = np.empty(keys.shape, np.int32)
        for field, index in enumerate(self._indexes):
            ids[:, field] = index.get_indexer(keys[:, field])
        ids += 1
        return ids

    def _ids_tensor(self, keys: tf.Tensor) -> tf.Tensor:
        self._ensure_variables()
        table, ids = self._variables
        salted = mix(TENSORFLOW, keys ^ TENSORFLOW.u64(salts(0, len(self.sizes))))
        signed = tf.reshape(tf.bitcast(salted, tf.int64) ^ tf.constant(-(2**63), tf.int64), [-1])
        place = tf.minimum(tf.searchsorted(table, signed, side="left"), tf.size(table) - 1)
        found = tf.where(tf.gather(table, place) == signed, tf.gather(ids, place), 0)
        return tf.reshape(found, tf.shape(keys))

    def field_keys(self, kinds: Sequence[str]) -> list[FieldKeys]:
        """What the ids of fields of these kinds stand for; see `texts_of_keys` for the texts."""
        found = []
        for kind, keys in zip(kinds, self._kept, strict=True):
            missing = 1 if len(keys) and not keys[0] else 0  # key 0 is a missing value
            told = {"name": self.encoding_name, "code": code_of(kind)}
            codes = np.append(np.uint64(0), keys)
            texts = [b"", *texts_of_keys(kind, keys)]
            found.append(FieldKeys({**told, "missing": missing, "unknown": 0}, texts, codes))
        return found

    def config(self) -> dict[str, Any]:
        return {"name": self.encoding_name, "min_count": self.min_count, "count_on": self.count_on}

    def arrays(self) -> dict[str, np.ndarray]:
        offsets = np.cumsum([0, *(len(k) for k in self._kept)])
        return {"keys": np.concatenate(self._kept), "offsets": offsets.astype(np.int64)}


def _signed(keys: np.ndarray) -> np.ndarray:
    """uint64 in the order of int64, which is what `tf.searchsorted` knows."""
    return (keys ^ np.uint64(1 << 63)).view(np.int64)


def encoding_from(
    config: dict[str, Any], arrays_path: pathlib.Path
) -> HashEncoding | VocabularyEncoding:
    """Rebuilds an encoding from its config and, for a vocabulary, its file of arrays."""
    if config["name"] == HashEncoding.encoding_name:
        return HashEncoding(tuple(config["sizes"]), config["seed"])
    try:
        with np.load(arrays_path) as stored:
            kept = np.split(stored["keys"], stored["offsets"][1:-1])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{arrays_path}: missing or damaged ({error}).") from error
    return VocabularyEncoding(kept, config["min_count"], config["count_on"])
