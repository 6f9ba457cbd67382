"""The planted truth of the synthetic data sets: a low-rank FM whose useful dimensions are known."""

import functools

import numpy as np
from scipy.optimize import brentq

from pep_tf.data.schema import FeatureSchema
from pep_tf.data.synthetic.shape import ZipfFields
from pep_tf.errors import DataError
from pep_tf.numbers import whole

BASE_RATE = 0.25
BEST_AUC = 0.80
INTERACTION_SHARE = 0.5  # of the variance of the logit
RARE = 1e-5  # features rarer than this, in a row, have no effect at all
FULL_RANK_AT = 3e-2  # features at least this frequent use every dimension
FIRST_ORDER_ONLY = 1 / 3  # of the features that have an effect
USELESS_FIELD_EVERY = 4

_CALIBRATION_ROWS = 32_768


class Truth:
    """A factorization machine that gives the true click probability of a row.

        logit(row) = intercept + sum_f w[i_f] + sum_{f<g} <v[i_f], v[i_g]>,    v of width `rank`

    **Which features and dimensions have an effect** (everything else is exactly zero):

    - every 4th field (the fields of index 3, 7, 11, ...) is *useless*: w = 0 and v = 0;
    - a feature rarer than 1e-5 of the rows is *rare*: w = 0 and v = 0. Its weight could hardly be
      learned: 160 occurrences in 16 million rows;
    - of the others, a third drawn at random is *first-order only*: w is not zero, v = 0;
    - the rest is *useful*: its first `useful_dims` coordinates of v are not zero, from 1 at a
      frequency of 1e-5 to `rank` at 3e-2, even steps in the logarithm of the frequency. (A
      coordinate that only one feature of a field would have is left out, because of the centring
      below.)

    **What "useful" can mean to a learner.** Clicks depend on v only through inner products, so a
    learner recovers v at best up to one rotation common to all features: *which* of its d
    coordinates it fills says nothing. Rotation-free, and so fair to ask of a pruned table, are two
    things. A feature with v = 0 needs no embedding: its whole row is useless, whatever the basis;
    `useful` and `useful_dims(...) == 0` say which. And since the useful coordinates are nested
    (always the first k), the features with `useful_dims <= k` span at most k dimensions in any
    basis, so that the *number* of non-zeros a feature needs is `useful_dims`, in the best basis,
    and the table never needs more than `rank` columns. Compare rows by zero or not, or numbers of
    dimensions by rank correlation; never coordinate with coordinate. Compare at equal `frequency`,
    too: rows that are rarely looked up go to zero first in any method, which by itself is no merit;
    the random third exists for that comparison.

    Each coordinate of v is centred within its field (its mean over rows is zero), so that the
    pairwise term is uncorrelated with every first-order function: interactions cannot be explained
    by weights of single features, nor the reverse. A learner with a first-order term may still add
    one constant vector to a whole field and pay for it in its weights; the smallest table adds
    none.

    Scale: the logit is scaled so that first-order and pairwise terms have equal variance, the mean
    probability is 0.25 and the expected AUC of the true probability is 0.80; measured on 32,768
    rows of their own, so the data's own figures differ in the third decimal (see `synthetic`).

    Memory: `8 * (rank + 1)` bytes for each feature that is not rare, of which Criteo's shape has
    115,364 at N = 2,000,000; the rest of the table is not stored.

    Args:
        fields: the law of the columns.
        rank: width of v, at least 1.
        seed: draws the truth; the same seed gives the same truth.

    Attributes:
        schema: fields and sizes.
        rank: width of v.
        intercept: float.
        first_order_auc: expected AUC of `intercept + sum w` alone; what a linear model could reach.

    Raises:
        DataError: `rank` below 1.
    """

    def __init__(self, fields: ZipfFields, *, rank: int, seed: int) -> None:
        rank = whole("rank", rank, least=1)
        self.schema: FeatureSchema = fields.schema
        self.rank = rank
        self._fields = fields
        # Rows kept of each field: the frequent ids, then one row of zeros for all the rare ones.
        self._kept = np.array(
            [fields.count_above(f, RARE) for f in range(self.schema.num_fields)], np.int32
        )
        self._first = (np.cumsum(self._kept + 1) - self._kept - 1).astype(np.int32)
        drawn = [self._draw_field(f, seed) for f in range(self.schema.num_fields)]
        self._w = np.concatenate([w for w, _ in drawn])
        self._v = np.concatenate([v for _, v in drawn])
        self.intercept, self.first_order_auc = self._calibrate(seed)

    def probability(self, ids: np.ndarray) -> np.ndarray:
        """True click probability, float32 [B], of rows of per-field ids, integer [B, F]."""
        return _sigmoid(self.logit(ids.T))

    def logit(self, ids: np.ndarray) -> np.ndarray:
        """True logit, float32 [B], of rows of per-field ids given field-major, integer [F, B]."""
        total = np.zeros((ids.shape[1], self.rank + 1), np.float32)
        taken = np.empty_like(total)
        for f, column in enumerate(ids):
            # "clip" is the mode that writes to `out` without a buffer; no index is out of range.
            np.take(self._fused, self._stored(f, column), axis=0, out=taken, mode="clip")
            total += taken
        pairs = total[:, 1:]
        return np.float32(self.intercept) + total[:, 0] + np.einsum("bk,bk->b", pairs, pairs) / 2

    def weights(self, feature_ids: np.ndarray) -> np.ndarray:
        """First-order weights w, float32, of features (rows of the table, with offsets).

        Raises:
            DataError: an id outside 0 ... N - 1 (the other look-ups raise the same).
        """
        return self._w[self._stored(*self._split(feature_ids))]

    def vectors(self, feature_ids: np.ndarray) -> np.ndarray:
        """Vectors v, float32 [..., rank], of features (rows of the table, with offsets)."""
        return self._v[self._stored(*self._split(feature_ids))]

    def useful_dims(self, feature_ids: np.ndarray) -> np.ndarray:
        """How many coordinates of v are not zero, 0 to rank: int32, as many as `feature_ids`."""
        return np.count_nonzero(self.vectors(feature_ids), axis=-1).astype(np.int32)

    def frequency(self, feature_ids: np.ndarray) -> np.ndarray:
        """P(a row has the feature), float64 of the shape of `feature_ids`."""
        field, ids = self._split(feature_ids)
        return self._fields.probability(field, ids)

    @property
    def useful(self) -> np.ndarray:
        """Which features have a vector v that is not zero, bool [N]."""
        useful = np.zeros(self.schema.num_features, bool)
        used = np.any(self._v != 0, axis=1)
        for offset, first, kept in zip(self.schema.offsets, self._first, self._kept, strict=True):
            useful[offset : offset + kept] = used[first : first + kept]
        return useful

    @property
    def useful_features(self) -> int:
        """How many features are useful, without an array of all."""
        return int(np.any(self._v != 0, axis=1).sum())  # rows of rare features are zero

    @property
    def useful_entries(self) -> int:
        """Non-zero numbers in all of v: the sum of `useful_dims` over the table."""
        return int(np.count_nonzero(self._v))

    def _split(self, feature_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = np.asarray(feature_ids)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.schema.num_features:
            raise DataError(
                f"`feature_ids` must be between 0 and {self.schema.num_features - 1}. "
                f"Received: {ids.min()} to {ids.max()}"
            )
        field = np.searchsorted(self.schema.offsets, ids, side="right") - 1
        return field, ids - self.schema.offsets[field]

    def _stored(self, field: np.ndarray | int, ids: np.ndarray) -> np.ndarray:
        return np.minimum(ids, self._kept[field]) + self._first[field]

    def _draw_field(self, field: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Unscaled w [kept + 1] and v [kept + 1, rank] of a field, float32; the last row is 0."""
        kept = int(self._kept[field])
        w, v = np.zeros(kept + 1), np.zeros((kept + 1, self.rank))
        if field % USELESS_FIELD_EVERY != USELESS_FIELD_EVERY - 1:
            rng = np.random.default_rng([seed, field])
            p = self._fields.probability(field, np.arange(kept))
            w[:kept] = rng.standard_normal(kept)
            dims = self._planned_dims(p) * (rng.random(kept) >= FIRST_ORDER_ONLY)
            drawn = rng.uniform(0.5, 1.5, (kept, self.rank)) * rng.choice(
                [-1, 1], (kept, self.rank)
            )
            v[:kept] = _centred(drawn, np.arange(self.rank) < dims[:, None], p)
        return w.astype(np.float32), v.astype(np.float32)

    def _planned_dims(self, p: np.ndarray) -> np.ndarray:
        steps = (self.rank - 1) * np.log(p / RARE) / np.log(FULL_RANK_AT / RARE)
        return np.clip(1 + np.floor(steps + 1e-9), 1, self.rank).astype(np.int64)

    def _calibrate(self, seed: int) -> tuple[float, float]:
        """Scales w and v in place; returns the intercept and the AUC of the first-order part."""
        self.intercept = 0.0
        rng = np.random.default_rng([seed, self.schema.num_fields, _CALIBRATION_ROWS])
        ids = self._fields.sample(rng, _CALIBRATION_ROWS)
        first = sum(self._w[self._stored(f, column)] for f, column in enumerate(ids))
        pairs = self.logit(ids) - first
        first_scale = np.sqrt(1 - INTERACTION_SHARE) / first.std()
        # A table so small that no two features of a field share a coordinate has no pairwise term.
        pairs_scale = np.sqrt(INTERACTION_SHARE) / pairs.std() if pairs.std() > 1e-6 else 0.0
        z = (first_scale * first + pairs_scale * pairs).astype(np.float64)

        def intercept(scale: float) -> float:
            return brentq(lambda b: float(_sigmoid(scale * z + b).mean()) - BASE_RATE, -50, 50)

        def auc(scale: float) -> float:
            return expected_auc(z, _sigmoid(scale * z + intercept(scale)))

        scale = brentq(lambda s: auc(s) - BEST_AUC, 0.1, 10, xtol=1e-4)
        self._w *= np.float32(scale * first_scale)
        self._v *= np.float32(np.sqrt(scale * pairs_scale))
        self.__dict__.pop("_fused")  # made of the unscaled ones above
        truth = _sigmoid(scale * z + intercept(scale))
        return intercept(scale), expected_auc(first, truth)

    @functools.cached_property
    def _fused(self) -> np.ndarray:
        """[w - |v|^2 / 2, v]: summed over the fields of a row, the logit is s_0 + |s_1..|^2 / 2."""
        diagonal = np.einsum("nk,nk->n", self._v, self._v) / 2
        return np.concatenate([(self._w - diagonal)[:, None], self._v], axis=1)


def expected_auc(score: np.ndarray, probability: np.ndarray) -> float:
    """AUC of `score` [n] when row i is a click with `probability[i]`; no label is drawn.

    The chance that a click is scored above a non-click, in expectation over both, ties counting
    half.
    """
    _, group = np.unique(score, return_inverse=True)
    clicks = np.bincount(group, probability)
    others = np.bincount(group, 1 - probability)
    return float(clicks @ (np.cumsum(others) - others / 2) / (clicks.sum() * others.sum()))


def _centred(v: np.ndarray, kept: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Zeroes what is not `kept` [n, rank] and gives each column of v the mean zero under p [n]."""
    kept = kept & (kept.sum(axis=0) > 1)  # a lone entry would be centred to zero up to rounding
    weight = p[:, None] * kept
    mean = (weight * v).sum(axis=0) / np.maximum(weight.sum(axis=0), np.finfo(float).tiny)
    return np.where(kept, v - mean, 0)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
