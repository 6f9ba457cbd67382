"""How many features share a bucket, estimated from how many buckets are in use."""

import math
from typing import Any

import numpy as np

from pep_tf.data.schema import FeatureSchema


class BucketUse:
    """Notes which ids occur; safe to call from several threads (they only ever write True)."""

    def __init__(self, schema: FeatureSchema) -> None:
        self._schema = schema
        self._used = np.zeros(schema.num_features, bool)

    def add(self, ids: np.ndarray) -> None:
        """Adds per-field ids int32 [n, F]."""
        self._used[ids + self._schema.offsets] = True

    def add_used(self, used: np.ndarray) -> None:
        """Adds ids of all fields together, bool [N]."""
        self._used |= used

    def report(self) -> list[dict[str, Any]]:
        """For each field: buckets in use, and the estimated share of features with company.

        m buckets of which a share p is empty hold about n = -m ln(p) features (linear counting,
        Whang et al. 1990), and a feature is alone with probability exp(-(n - 1) / m). With no empty
        bucket n is unknown, at least m ln(m).
        """
        facts = []
        for field, start in zip(self._schema.fields, self._schema.offsets, strict=True):
            # Bucket 0 is "missing", which is never shared.
            used = int(self._used[start + 1 : start + field.size].sum())
            m = field.size - 1
            n = -m * math.log(max(1 - used / m, 1 / m))
            shared = 1 - math.exp(-max(n - 1, 0) / m)
            facts.append({"name": field.name, "used": used, "shared": round(shared, 4)})
        return facts
