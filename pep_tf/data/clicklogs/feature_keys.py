"""The keys of all fields of a row, from the raw columns they read."""

from typing import Any

from pep_tf.data.backends import Backend
from pep_tf.data.clicklogs import keys as keys_lib
from pep_tf.data.clicklogs.formats import Feature
from pep_tf.data.clicklogs.tokens import Tokens


class FeatureKeys:
    """Computes keys uint64 [n, F]; fields of one kind are computed together.

    Args:
        features: the fields, in order.
    """

    def __init__(self, features: tuple[Feature, ...]) -> None:
        self.features = features
        self._groups = [
            (kind, group)
            for kind in keys_lib.KINDS
            if (group := [i for i, f in enumerate(features) if f.kind == kind])
        ]
        order = [i for _, group in self._groups for i in group]
        self._order = [order.index(i) for i in range(len(order))]

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw column that each field reads; two fields may read the same."""
        return tuple(f.column for f in self.features)

    def __call__(self, ops: Backend, tokens: Tokens) -> tuple[Any, list[Any]]:
        """Keys of tokens [n, F], column j being the raw column of field j.

        Returns:
            keys uint64 [n, F]; and for each kind that can be malformed bool [n, fields of that kind],
            True where a token is neither empty nor well formed (its key is then 0, "missing").
        """
        parts, malformed = [], []
        for kind, group in self._groups:
            words = [ops.columns(w, group) for w in tokens.words]
            own = Tokens(words, ops.columns(tokens.lengths, group))
            if kind == "category":
                parts.append(keys_lib.category_keys(ops, own))
                continue
            keys, bad = keys_lib.number_keys(ops, kind, own)
            parts.append(keys)
            malformed.append(bad)
        joined = ops.concat(parts)
        if self._order != sorted(self._order):
            joined = ops.columns(joined, self._order)
        return joined, malformed
