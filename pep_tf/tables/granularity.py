"""How many thresholds a table has: one for all of it, or one each dimension, feature, field, or pairs of these."""

import dataclasses

GRANULARITIES = ("global", "dimension", "feature", "feature_dim", "field", "field_dim")


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

    Raises:
        ValueError: a name that is not in the table above.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in GRANULARITIES:
            raise ValueError(
                f"`granularity` must be one of {list(GRANULARITIES)}. Received: {self.name!r}"
            )

    @property
    def by_feature(self) -> bool:
        """Whether s has one row a feature, so that only the rows of a batch take part in a step."""
        return self.name.startswith("feature")

    @property
    def by_field(self) -> bool:
        """Whether s has one row a field."""
        return self.name.startswith("field")

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
