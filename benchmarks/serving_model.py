"""A made-up ticket of Criteo's form: 39 Zipf fields whose frequent features keep more entries."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs import CRITEO, HashEncoding, Transform
from pep_tf.data.clicklogs.formats import default_features
from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import PepError

NUM_FIELDS = 39
_LEAST_SIZE = 2  # what a hash asks of a field
_BLOCK = 65_536
# How Criteo's features spread over its 39 fields: 13 small numeric ones, 26 categories of which a
# few hold nearly all features. Only the proportions are used.
_SHARES = [64] * 13 + [1461, 583, 300000, 180000, 305, 24, 12517, 633, 3, 93145, 5683, 300000, 3194]
_SHARES += [27, 14992, 250000, 10, 5652, 2173, 4, 300000, 18, 15, 150000, 105, 70000]


@dataclasses.dataclass(frozen=True)
class MadeUpTicket:
    """A schema, how many entries each row keeps, and how often each row is looked up.

    Attributes:
        schema: 39 fields.
        dim: d.
        counts: int64 [N], entries kept by each row.
        by_frequency: for each field, its ids from the most frequent to the least.
        granularity: `"feature_dim"`: each row keeps columns of its own; `"field_dim"`: all rows of a
            field keep the same ones.
    """

    schema: FeatureSchema
    dim: int
    counts: np.ndarray
    by_frequency: list[np.ndarray]
    granularity: str = "feature_dim"

    @classmethod
    def of(
        cls,
        num_features: int,
        dim: int,
        kept: float,
        steepness: float,
        seed: int = 0,
        granularity: str = "feature_dim",
    ) -> "MadeUpTicket":
        """Counts are binomial with rate `c f^s / (1 + c f^s)`, f = frequency, s = `steepness`.

        By field they are the rate of the field's mean frequency.

        Args:
            num_features: N, at least 78.
            dim: d.
            kept: fraction of the N x d entries that are kept on average; it fixes c.
            steepness: how much more the frequent features keep.
            seed: of everything random.
            granularity: `"feature_dim"` or `"field_dim"`.
        """
        rng = np.random.default_rng(seed)
        sizes = _field_sizes(num_features)
        frequency = np.concatenate([1 / np.arange(1, n + 1) / _harmonic(n) for n in sizes])
        by_frequency = [rng.permutation(n) for n in sizes]
        schema = FeatureSchema.of({f"f{i}": n for i, n in enumerate(sizes)})
        rows = np.concatenate([o + p for o, p in zip(schema.offsets, by_frequency, strict=True)])
        counts = np.empty(num_features, np.int64)
        if granularity == "field_dim":
            counts = np.repeat(_field_widths(np.array(sizes), dim, kept, steepness), sizes)
        else:
            counts[rows] = rng.binomial(dim, survivor_rates(steepness * np.log(frequency), kept))
        return cls(schema, dim, counts, by_frequency, granularity)

    def blocks(self, seed: int = 0, scale: float = 0.01) -> Iterator[np.ndarray]:
        """Row blocks float32 [n, d] of the table: normal values in random columns."""
        rng = np.random.default_rng([seed, 1])
        columns = rng.random((self.schema.num_fields, self.dim)).argsort(1).argsort(1)
        for start in range(0, len(self.counts), _BLOCK):
            counts = self.counts[start : start + _BLOCK]
            if self.granularity == "field_dim":
                rows = np.arange(start, start + len(counts))
                places = columns[np.searchsorted(self.schema.offsets, rows, side="right") - 1]
            else:
                places = rng.random((len(counts), self.dim), np.float32).argsort(1).argsort(1)
            values = rng.normal(0, scale, places.shape)
            yield np.where(places < counts[:, None], values, 0).astype(np.float32)

    def first_order(self, kept: float, seed: int = 0) -> np.ndarray:
        """float32 [N, 1]; those rows keep their weight that keep most entries, or fields of them."""
        rng = np.random.default_rng([seed, 2])
        weights = rng.normal(0, 0.1, (len(self.counts), 1)).astype(np.float32)
        if self.granularity == "field_dim":
            sizes = np.array(self.schema.sizes)
            order = np.argsort(sizes, kind="stable")
            whole = np.zeros(len(sizes), bool)
            whole[order[np.cumsum(sizes[order]) <= kept * len(weights)]] = True
            weights[np.repeat(~whole, sizes)] = 0
            return weights
        order = np.lexsort((rng.random(len(weights)), -self.counts))
        weights[order[int(kept * len(weights)) :]] = 0
        return weights

    def ids(self, rows: int, rng: np.random.Generator, uniform: bool = False) -> np.ndarray:
        """int32 [rows, 39], drawn at training frequency (1 / rank) or uniformly."""
        if uniform:
            places = [rng.integers(0, n, rows) for n in self.schema.sizes]
        else:
            places = self._ranks(rows, rng)
        ids = [order[place] for order, place in zip(self.by_frequency, places, strict=True)]
        return np.stack(ids, axis=1).astype(np.int32)

    def transform(self) -> Transform:
        """Criteo's raw columns to ids of this schema, by the hash."""
        return Transform("criteo", default_features(CRITEO), HashEncoding(self.schema.sizes))

    def raw(self, rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raw columns, bytes [rows] each: integers and 8 hex digits, the frequent ones 1 / rank."""
        ranks = self._ranks(rows, rng)
        return {
            feature.column: np.array(
                [b"%d" % r if feature.kind == "integer" else b"%08x" % (r * 7919) for r in column],
                object,
            )
            for feature, column in zip(default_features(CRITEO), ranks, strict=True)
        }

    def _ranks(self, rows: int, rng: np.random.Generator) -> list[np.ndarray]:
        """For each field int64 [rows], from 0, rank k with a chance of 1 / (k + 1)."""
        columns = []
        for size in self.schema.sizes:
            odds = np.cumsum(1 / np.arange(1, size + 1))
            places = np.searchsorted(odds, rng.random(rows) * odds[-1], side="right")
            columns.append(np.minimum(places, size - 1))
        return columns


class FirstNumber:
    """A tower that looks at one number of the embeddings: what is left is the lookup."""

    variables: ClassVar[list[Any]] = []

    def interact(self, embedded: tf.Tensor, first_order: None) -> tf.Tensor:
        """The first number of each row's embeddings, [B]."""
        del first_order
        return embedded[:, 0, 0]


def _field_widths(sizes: np.ndarray, dim: int, kept: float, steepness: float) -> np.ndarray:
    """int64 [F]: entries kept by each row of a field, by the rates of `MadeUpTicket.of`."""

    def widths(intercept: float) -> np.ndarray:
        odds = np.exp(intercept - steepness * np.log(sizes))
        return np.rint(dim * odds / (1 + odds)).astype(np.int64)

    low, high = -100.0, 200.0
    for _ in range(100):
        middle = (low + high) / 2
        much = widths(middle) @ sizes > kept * dim * sizes.sum()
        low, high = (low, middle) if much else (middle, high)
    return widths(low)


def _field_sizes(num_features: int) -> list[int]:
    least = _LEAST_SIZE * NUM_FIELDS
    if num_features < least:
        raise PepError(f"`num_features` must be at least {least}. Received: {num_features}")
    shares = np.array(_SHARES) / sum(_SHARES)
    sizes = _LEAST_SIZE + np.floor(shares * (num_features - least)).astype(int)
    sizes[np.argmax(sizes)] += num_features - sizes.sum()
    return sizes.tolist()


def _harmonic(n: int) -> float:
    return float(np.sum(1 / np.arange(1, n + 1)))


def survivor_rates(log_odds: np.ndarray, kept: float) -> np.ndarray:
    """Shares of the rows' entries that survive, with these log odds up to a constant and mean `kept`."""
    low, high = -100.0, 200.0
    for _ in range(100):
        middle = (low + high) / 2
        rates = 1 / (1 + np.exp(-(log_odds + middle)))
        low, high = (low, middle) if rates.mean() > kept else (middle, high)
    return rates
