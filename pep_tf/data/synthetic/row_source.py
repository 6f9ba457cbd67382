"""Rows of a synthetic data set, block by block: a block is a function of the seed and its index."""

import dataclasses
import functools

import numpy as np

from pep_tf.data.schema import FeatureSchema
from pep_tf.data.synthetic.shape import Shape, ZipfFields, get_shape
from pep_tf.data.synthetic.truth import Truth
from pep_tf.numbers import read_fields

BLOCK_ROWS = 8192
# Raise it with any change that alters a row, so that results name the rows they were measured on.
VERSION = 1

_ROWS_STREAM = 1  # keeps the rows' random numbers apart from those of the truth


@dataclasses.dataclass(frozen=True)
class RowSource:
    """An endless table of rows, of which nothing is stored.

    Row i is row `i % BLOCK_ROWS` of block `i // BLOCK_ROWS`. A block is drawn from a generator
    seeded by (seed, block), so any worker makes any block, in any order, and gets the same rows; a
    block costs the same wherever it lies. The random numbers are NumPy's, whose streams may change
    between major versions of NumPy.

    Args:
        shape: "criteo" or "avazu".
        num_features: N, over all fields.
        seed: of truth and rows, at least 0.
        rank: width of the planted vectors.

    Raises:
        DataError: an unknown shape, or an argument out of its range.
    """

    shape: str
    num_features: int
    seed: int = 0
    rank: int = 8

    def __post_init__(self) -> None:
        read_fields(self, {"seed": 0, "rank": 1})
        _ = self.truth  # complain now, not in a worker

    @functools.cached_property
    def layout(self) -> Shape:
        return get_shape(self.shape)

    @functools.cached_property
    def schema(self) -> FeatureSchema:
        return self.layout.schema(self.num_features)

    @functools.cached_property
    def fields(self) -> ZipfFields:
        return ZipfFields(self.layout, self.schema)

    @functools.cached_property
    def truth(self) -> Truth:
        return Truth(self.fields, rank=self.rank, seed=self.seed)

    def block(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows `index * BLOCK_ROWS` and on.

        Returns:
            ids int32 [F, BLOCK_ROWS] (per field, field-major), labels float32 [BLOCK_ROWS] (0 or
            1), and the true probabilities float32 [BLOCK_ROWS] they were drawn with.
        """
        rng = np.random.Generator(np.random.SFC64([self.seed, _ROWS_STREAM, int(index)]))
        ids = self.fields.sample(rng, BLOCK_ROWS)
        logit = self.truth.logit(ids)
        probability = 1 / (1 + np.exp(-logit))
        labels = (rng.random(BLOCK_ROWS) < probability).astype(np.float32)
        return ids, labels, probability

    def get_config(self) -> dict[str, int | str]:
        """What names these rows, JSON-ready."""
        return {"version": VERSION, "block_rows": BLOCK_ROWS} | dataclasses.asdict(self)
