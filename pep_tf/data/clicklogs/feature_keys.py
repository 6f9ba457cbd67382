"""The keys of all fields of a row of a file, from the raw columns they read."""

from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs import keys as keys_lib
from pep_tf.data.clicklogs.column_rules import NumberRule, rule_of
from pep_tf.data.clicklogs.formats import Feature, Format
from pep_tf.data.remembered import Remembered
from pep_tf.data.tokens import Tokens


class NumberKeys:
    """Keys of numbers, by the code that a request goes through.

    Args:
        kind: of the numbers, see `keys.py`.
        rule: tells what is malformed.
    """

    def __init__(self, kind: str, rule: NumberRule) -> None:
        def refused_and_key(texts: tf.Tensor) -> tf.Tensor:
            refused = tf.cast(rule.refused(texts), tf.uint64)
            return tf.stack([refused, keys_lib.keys_of_texts(kind, texts)], axis=1)

        self._read = Remembered(refused_and_key)

    def __call__(self, tokens: Tokens) -> np.ndarray | None:
        """uint64, the shape of the tokens; None where one is malformed. Safe in several threads."""
        texts, places = tokens.distinct()
        refused, keys = self._read(texts).T
        return None if refused.any() else keys[places]


class FeatureKeys:
    """Computes keys uint64 [n, F]; fields of one kind are computed together.

    Args:
        fmt: of the file.
        features: the fields, in order.
    """

    def __init__(self, fmt: Format, features: tuple[Feature, ...]) -> None:
        self.columns = [fmt.columns.index(f.column) for f in features]
        self._groups: list[tuple[list[int], Any]] = []
        for kind in keys_lib.KINDS:
            if group := [i for i, f in enumerate(features) if f.kind == kind]:
                keys: Any = Tokens.keys
                if kind != "category":
                    rule = rule_of(fmt, features[group[0]].column)
                    assert isinstance(rule, NumberRule)
                    keys = NumberKeys(kind, rule)
                self._groups.append((group, keys))
        order = [i for group, _ in self._groups for i in group]
        self._order = [order.index(i) for i in range(len(order))]

    def __call__(self, tokens: Tokens) -> np.ndarray | None:
        """Keys of tokens [n, F], column j being the raw column of field j; None where one is malformed."""
        parts = []
        for group, keys in self._groups:
            if (found := keys(tokens.columns(group))) is None:
                return None
            parts.append(found)
        joined = np.concatenate(parts, axis=1)
        return joined if self._order == sorted(self._order) else joined[:, self._order]
