"""From a feature's 64-bit key to its id within its field: by a hash, or by a vocabulary."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pep_tf.data.hashing import buckets_of, salts
from pep_tf.errors import DataError
from pep_tf.numbers import INT32_MAX


@dataclasses.dataclass(frozen=True)
class HashEncoding:
    """Ids by `buckets_of`; id 0 of every field is "missing".

    The salt depends on `seed` and the field's place, so that two features which share a bucket under one
    seed part under another.

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

    @property
    def salts(self) -> np.ndarray:
        """uint64 [F]."""
        return salts(self.seed, len(self.sizes))

    def ids(self, keys: np.ndarray) -> np.ndarray:
        """int32 [n, F] of keys uint64 [n, F]."""
        found: np.ndarray = buckets_of(keys, self.salts, self.sizes)
        return found

    def config(self) -> dict[str, Any]:
        return {"name": self.encoding_name, "sizes": list(self.sizes), "seed": self.seed}

    def arrays(self) -> dict[str, np.ndarray]:
        return {}


class VocabularyEncoding:
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
        self.kept = [np.ascontiguousarray(k, np.uint64) for k in kept]
        for field, k in enumerate(self.kept):
            if (k[1:] <= k[:-1]).any():
                raise DataError(f"Keys of field {field} must be sorted and unique.")
        self.min_count = min_count
        self.count_on = count_on
        self.sizes = tuple(1 + len(k) for k in self.kept)

    @functools.cached_property
    def _indexes(self) -> list[Any]:
        # pandas' hash table looks a chunk up several times faster than a binary search.
        import pandas as pd

        indexes = [pd.Index(k) for k in self.kept]
        for index in indexes:
            index.get_indexer(index[:1])  # Builds the table now: threads share it afterwards.
        return indexes

    def ids(self, keys: np.ndarray) -> np.ndarray:
        """int32 [n, F] of keys uint64 [n, F]."""
        ids = np.empty(keys.shape, np.int32)
        for field, index in enumerate(self._indexes):
            ids[:, field] = index.get_indexer(keys[:, field])
        ids += 1
        return ids

    def config(self) -> dict[str, Any]:
        return {"name": self.encoding_name, "min_count": self.min_count, "count_on": self.count_on}

    def arrays(self) -> dict[str, np.ndarray]:
        offsets = np.cumsum([0, *(len(k) for k in self.kept)])
        return {"keys": np.concatenate(self.kept), "offsets": offsets.astype(np.int64)}


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
