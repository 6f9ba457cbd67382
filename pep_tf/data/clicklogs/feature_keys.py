"""The keys of all fields of a row of a file, from the raw columns they read."""

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs import keys as keys_lib
from pep_tf.data.clicklogs.column_rules import NumberRule, rule_of
from pep_tf.data.clicklogs.formats import Feature, Format
from pep_tf.data.clicklogs.tokens import Tokens


class FeatureKeys:
    """Computes keys uint64 [n, F]; fields of one kind are computed together.

    Args:
        fmt: of the file.
        features: the fields, in order.
    """

    def __init__(self, fmt: Format, features: tuple[Feature, ...]) -> None:
        self.columns = [fmt.columns.index(f.column) for f in features]
        self._groups = [
            (kind, group, rule_of(fmt, features[group[0]].column))
            for kind in keys_lib.KINDS
            if (group := [i for i, f in enumerate(features) if f.kind == kind])
        ]
        order = [i for _, group, _ in self._groups for i in group]
        self._order = [order.index(i) for i in range(len(order))]

    def __call__(self, tokens: Tokens) -> np.ndarray | None:
        """Keys of tokens [n, F], column j being the raw column of field j; None where one is malformed."""
        parts = []
        for kind, group, rule in self._groups:
            own = tokens.columns(group)
            if kind == "category":
                parts.append(keys_lib.category_keys(own))
                continue
            assert isinstance(rule, NumberRule)
            if (found := keys_of_numbers(kind, rule, own)) is None:
                return None
            parts.append(found)
        joined = np.concatenate(parts, axis=1)
        return joined if self._order == sorted(self._order) else joined[:, self._order]


def keys_of_numbers(kind: str, rule: NumberRule, tokens: Tokens) -> np.ndarray | None:
    """Keys of numbers, of each distinct text once, as a request has them; None where one is malformed."""
    texts, places = tokens.distinct()
    with tf.device("CPU"):
        distinct = tf.constant(texts, tf.string)
        if tf.reduce_any(rule.refused(distinct)):
            return None
        keys: np.ndarray = keys_lib.keys_of_texts(kind, distinct).numpy()
        return keys[places]
