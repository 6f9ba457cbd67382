"""The columns of click logs in a serving graph: values by the rules of a file, to the ids of preparation."""

import copy
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.column_rules import rule_of
from pep_tf.data.clicklogs.formats import Feature, Format
from pep_tf.data.clicklogs.keys import keys_of_texts
from pep_tf.data.columns.categories import Hash
from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.lookup import NumberLookup
from pep_tf.data.raw import RawColumn


class _ByRule(Encoder):
    """A column of a format.

    Args:
        fmt: the format.
        feature: the field.
    """

    _feature: Feature

    def _of(self, fmt: Format, feature: Feature) -> None:
        self._feature, self._rule = feature, rule_of(fmt, feature.column)

    @property
    def column(self) -> RawColumn:
        return self._rule.column

    def refused_here(self, texts: tf.Tensor) -> tf.Tensor:
        return self._rule.refused(texts)

    def keys(self, texts: tf.Tensor) -> tf.Tensor:
        return keys_of_texts(self._feature.kind, self._rule.read(texts))

    def state(self) -> list[Any]:
        return []  # the fingerprint is that of the whole transform


class Bucket(_ByRule, Hash):
    """Values to buckets."""

    def __init__(self, fmt: Format, feature: Feature, size: int, salt: np.uint64) -> None:
        super().__init__(size, salt)
        self._of(fmt, feature)

    @property
    def alike(self) -> Any:
        return self._feature.kind, self._rule


class KnownKeys(_ByRule):
    """Values to `1 + place of their key`; 0 where it is not among them.

    Args:
        kept: uint64 [n], sorted keys.
    """

    def __init__(self, fmt: Format, feature: Feature, kept: np.ndarray) -> None:
        super().__init__(name=feature.name)
        self._of(fmt, feature)
        self.size = 1 + len(kept)
        # Of uint64 in the order of int64, which is what `tf.searchsorted` knows.
        signed = (kept ^ np.uint64(1 << 63)).view(np.int64)
        self._lookup = NumberLookup(signed, feature.name) if len(kept) else None

    def without(self, empty: np.ndarray) -> "KnownKeys":
        smaller = copy.copy(self)
        if self._lookup is not None:
            smaller._lookup = self._lookup.without(empty[1:] & empty[0])
        return smaller

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        if self._lookup is None:
            return tf.zeros_like(texts, tf.int32)
        signed = tf.bitcast(self.keys(texts), tf.int64) ^ tf.constant(-(2**63), tf.int64)
        return 1 + self._lookup(signed)
