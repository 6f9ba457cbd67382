"""Kinds of columns whose values are names: `vocabulary` and `hash:N`."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import tensorflow as tf

from pep_tf.data.columns.encoder import Encoder, Seen
from pep_tf.data.columns.texts import Texts, plain, plain_of
from pep_tf.data.field_keys import hash_encoding, texts_of
from pep_tf.data.hashing import WORD, buckets_of, mix, salts
from pep_tf.data.lookup import NumberLookup, TextLookup
from pep_tf.errors import DataError

MAX_BYTES = 1024  # of a text: a batch is padded to its longest one
UNSEEN, FIRST = 1, 2  # ids of a vocabulary: for texts that are not in it, and of its first text


class Category(Encoder):
    """Values that are names."""

    must_be = f"text of at most {MAX_BYTES} bytes (5.0 is 5)"

    @classmethod
    def refused(cls, texts: tf.Tensor) -> tf.Tensor:
        return tf.strings.length(texts) > MAX_BYTES

    @classmethod
    def refused_of(cls, texts: Texts) -> np.ndarray:
        return texts.lengths > MAX_BYTES


class Limits(NamedTuple):
    """Which texts a vocabulary takes: those in `min` training rows or more, of these the `max` most frequent."""

    min: int = 1
    max: int | None = None


class Known(Encoder):
    """What occurs in the training rows has an id of its own, everything else id 1.

    Attributes:
        unseen, first: ids for texts that are not among the values, perhaps below 0, and of the first that is.

    Args:
        values: what occurs, sorted: texts, object [n], or int64 [n].
        field: its name.
    """

    unseen, first = UNSEEN, FIRST

    def __init__(self, values: np.ndarray, field: str) -> None:
        super().__init__(name=type(self).__name__.lower())
        self._values = values
        kind = NumberLookup if values.dtype.kind == "i" else TextLookup
        self._lookup: TextLookup | NumberLookup = kind(values, field)
        self.size = self.first + len(values)

    def encode(self, texts: tf.Tensor) -> tf.Tensor:
        place = self._lookup(self.read(texts))
        return tf.where(place < 0, self.unseen, place + self.first)

    def read(self, texts: tf.Tensor) -> tf.Tensor:
        """What is looked up."""
        raise NotImplementedError

    @staticmethod
    def read_of(texts: Texts) -> np.ndarray:
        """As `read`, of the texts of a column."""
        raise NotImplementedError

    def ids_of(self, texts: Texts) -> np.ndarray:
        # pandas' hash table, several times faster than a binary search.
        place = pd.Index(self._values).get_indexer(pd.Index(self.read_of(texts)))
        found = np.where(place < 0, UNSEEN, place + FIRST)
        return np.where(texts.lengths == 0, 0, found).astype(np.int32)

    def without(self, empty: np.ndarray) -> Self:
        smaller = copy.copy(self)
        unknown = self.unseen < 0 or empty[self.unseen]
        smaller._lookup = self._lookup.without(empty[self.first :] & unknown)
        return smaller

    def encoding(self) -> dict[str, Any]:
        return {"name": "vocabulary", "missing": 0, "unknown": UNSEEN}

    def key_texts(self) -> list[bytes]:
        return texts_of(self._values.tolist(), before=self.first)


class Vocabulary(Known, Category):
    """Texts, within `Limits`."""

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        limits = argument or Limits()
        values, rows = np.array(texts := plain_of(seen.texts), object), seen.counts
        if texts is not seen.texts:  # which are sorted, each once
            values, places = np.unique(values, return_inverse=True)
            rows = np.bincount(places, weights=rows)
        kept = np.flatnonzero(rows >= limits.min)
        kept = np.sort(kept[np.argsort(-rows[kept], kind="stable")[: limits.max]])
        if not len(kept):
            raise DataError(
                f"`{seen.field}` must have a value in {limits.min} training rows or more. Received: "
                f"{len(values)} values, the most frequent in {int(rows.max(initial=0))}"
            )
        return cls(values[kept], seen.field)

    def read(self, texts: tf.Tensor) -> tf.Tensor:
        return plain(texts)

    @staticmethod
    def read_of(texts: Texts) -> np.ndarray:
        return np.array(texts.plain, object)

    def state(self) -> list[Any]:
        return self._values.tolist()


class Hash(Category):
    """The bucket of a text, 1 to N - 1, by `buckets_of`.

    Args:
        buckets: N, that of a missing value among them.
        salt: of the field.
        seed: that the salt was made of.
    """

    learns = False

    def __init__(self, buckets: int, salt: np.uint64, seed: int = 0) -> None:
        super().__init__(name="hash")
        self.size, self._salt, self._seed = buckets, salt, seed
        self._all = ((salt, buckets),)

    @classmethod
    def fit(cls, seen: Seen, argument: Any) -> Self:
        return cls(argument, salts(0, seen.place + 1)[seen.place])

    @property
    def alike(self) -> Any:
        return type(self)

    def joined(self, others: Sequence[Encoder]) -> Encoder:
        both = copy.copy(self)
        both._all = tuple(own for other in others for own in other._all)
        return both

    def encode(self, texts: tf.Tensor) -> tf.Tensor:
        salt, sizes = map(np.array, zip(*self._all, strict=True))
        return buckets_of(self.keys(texts), salt, sizes)

    def ids_of(self, texts: Texts) -> np.ndarray:
        return buckets_of(texts.keys, self._salt, self.size)

    def keys(self, texts: tf.Tensor) -> tf.Tensor:
        """What is hashed, uint64, of texts."""
        return text_keys(plain(texts))

    def encoding(self) -> dict[str, Any]:
        return hash_encoding(self._seed, self._salt, self.size)

    def state(self) -> list[Any]:
        return [self.size, int(self._salt)]


def text_keys(texts: tf.Tensor) -> tf.Tensor:
    """Keys uint64 of texts of any length and shape: 8 bytes are their own key, more are folded word by word.

    No text but the empty one has key 0.
    """
    lengths = tf.cast(tf.strings.length(texts), tf.int64)
    count = tf.maximum((tf.reduce_max(lengths) + WORD - 1) // WORD, 1)
    width = tf.cast(count * WORD, tf.int32)
    words = tf.bitcast(tf.io.decode_raw(texts, tf.int64, fixed_length=width), tf.uint64)

    def fold(index: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        folded = mix(key) ^ words[..., index]
        return index + 1, tf.where(lengths > index * WORD, folded, key)

    start = (tf.constant(1, tf.int64), words[..., 0])
    _, keys = tf.while_loop(lambda index, _: index < count, fold, start)
    zero = tf.zeros_like(keys)
    return tf.where((keys == zero) & (lengths > 0), zero + 1, keys)
