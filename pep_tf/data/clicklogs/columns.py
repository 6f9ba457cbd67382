"""The columns of click logs: values by the rules of a file, to the ids of preparation."""

from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.column_rules import rule_of
from pep_tf.data.clicklogs.formats import Feature, Format
from pep_tf.data.clicklogs.keys import code_of, keys_of_texts, texts_of_keys
from pep_tf.data.columns.categories import Hash, Known
from pep_tf.data.columns.encoder import ByRule

_SIGN = 1 << 63


class _OfFormat(ByRule):
    """A column of a format."""

    def _of(self, fmt: Format, feature: Feature) -> None:
        self._kind, self.rule = feature.kind, rule_of(fmt, feature.column)

    def keys(self, texts: tf.Tensor) -> tf.Tensor:
        return keys_of_texts(self._kind, self.rule.read(texts))

    def encoding(self) -> dict[str, Any]:
        return {**super().encoding(), "code": code_of(self._kind), "kind": self._kind}


class Bucket(_OfFormat, Hash):
    """Values to buckets.

    Args:
        fmt: the format.
        feature: the field.
        size, salt: see `Hash`.
        seed: of the salt.
    """

    def __init__(
        self, fmt: Format, feature: Feature, size: int, salt: np.uint64, seed: int
    ) -> None:
        super().__init__(size, salt, seed)
        self._of(fmt, feature)

    @property
    def alike(self) -> Any:
        return self._kind, self.rule


class KnownKeys(_OfFormat, Known):
    """Values to `1 + place of their key`; 0 where it is not among them, a missing value as any other.

    Args:
        fmt: the format.
        feature: the field.
        kept: uint64 [n], sorted keys.
    """

    unseen, first = 0, 1

    def __init__(self, fmt: Format, feature: Feature, kept: np.ndarray) -> None:
        # Of uint64 in the order of int64, which is what `tf.searchsorted` knows.
        super().__init__((kept ^ np.uint64(_SIGN)).view(np.int64), feature.name)
        self._of(fmt, feature)
        self._kept = kept

    def read(self, texts: tf.Tensor) -> tf.Tensor:
        return tf.bitcast(self.keys(texts), tf.int64) ^ tf.constant(-_SIGN, tf.int64)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        return self.encode(texts) if len(self._kept) else tf.zeros_like(texts, tf.int32)

    def encoding(self) -> dict[str, Any]:
        missing = int(len(self._kept) > 0 and not self._kept[0])  # key 0 is a missing value
        return {**super().encoding(), "missing": missing, "unknown": 0}

    def key_texts(self) -> list[bytes]:
        return [b"", *texts_of_keys(self._kind, self._kept)]

    def key_codes(self) -> np.ndarray:
        return np.append(np.uint64(0), self._kept)
