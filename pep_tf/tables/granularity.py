"""How many thresholds a table has: one for all of it, or one per dimension, feature, field, or pair of these."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from pep_tf.registry import registering

_Kind = TypeVar("_Kind", bound="type[Granularity]")


@dataclasses.dataclass(frozen=True)
class Granularity:
    """Where the thresholds `s` of an N x d table live (PEP, section 3.2, and the authors' code).

    | name | shape of s | one threshold for |
    |---|---|---|
    | `global` | (1,) | the whole table |
    | `dimension` | (d,) | a column |
    | `feature` | (N, 1) | a row |
    | `feature_dim` | (N, d) | an entry |
    | `field` | (F, 1) | the rows of a field |
    | `field_dim` | (F, d) | a column within a field |

    One of your own is a subclass with a `shape` and, where its s has a row for each of several groups of
    features, `groups`; `register` makes it known.

    Raises:
        ValueError: a name that is not in the table above, nor registered.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in GRANULARITIES:
            raise ValueError(
                f"`granularity` must be one of {list(GRANULARITIES)}. Received: {self.name!r}"
            )

    @property
    def by_feature(self) -> bool:
        """Whether s has one row per feature, so that only the rows of a batch take part in a step."""
        return self.name in ("feature", "feature_dim")

    @property
    def by_field(self) -> bool:
        """Whether s has one row per field."""
        return self.name in ("field", "field_dim")

    def shape(self, num_features: int, num_fields: int, dim: int) -> tuple[int, ...]:
        """Shape of s for a table of `num_features` x `dim` whose rows belong to `num_fields`."""
        return {
            "global": (1,),
            "dimension": (dim,),
            "feature": (num_features, 1),
            "feature_dim": (num_features, dim),
            "field": (num_fields, 1),
            "field_dim": (num_fields, dim),
        }[self.name]

    def groups(self, rows: tf.Tensor, field_sizes: Sequence[int] | None) -> tf.Tensor | None:
        """For each of these table rows its row of s, in the same shape; None if s is broadcast."""
        if not self.by_field or field_sizes is None:
            return None
        ends = tf.constant(np.cumsum(field_sizes)[:-1], rows.dtype)
        fields = tf.searchsorted(ends, tf.reshape(rows, [-1]), side="right", out_type=rows.dtype)
        return tf.reshape(fields, tf.shape(rows))


_PUBLISHED = ("global", "dimension", "feature", "feature_dim", "field", "field_dim")
GRANULARITIES: dict[str, type[Granularity]] = dict.fromkeys(_PUBLISHED, Granularity)


def register(name: str) -> Callable[[_Kind], _Kind]:
    """Class decorator for a `Granularity`: layers, commands and searches then know it by its name.

    Args:
        name: of the granularity, after `--granularity=`.

    Raises:
        ValueError: the name of another granularity.
    """
    return registering(name, "granularity", GRANULARITIES)


def granularity_of(name: str) -> Granularity:
    """The granularity of that name.

    Raises:
        ValueError: an unknown name.
    """
    return GRANULARITIES.get(name, Granularity)(name)
