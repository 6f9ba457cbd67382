"""Multi-granular quantised embeddings: a row is a few codes, of more choices where a feature is frequent."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.tables.distinct import distinct, expand
from pep_tf.tables.packed.flags import Flags
from pep_tf.tables.packed.octets import take
from pep_tf.tables.packed.stored_table import Arrays
from pep_tf.tables.row_table import BLOCK_ENTRIES
from pep_tf.tables.small.scheme import At, Scheme

FREQUENT = 0.1  # the share of features that has all centroids, as in the paper
_MORE_BITS = 2  # of their codes: 256 centroids against 64 in the paper
_FLAGS = "frequent"


class MultiGranular(Scheme):
    """A row is made of `size` parts, each the nearest of K centroids of the part; a code says which.

    The tenth of the features that is the most frequent has K centroids, the others the first K / 4 of
    them. K is a quarter of the root of N, as a power of two from 4 to 256, since the codebook, K x d
    numbers, is stored too. Frequencies are told by `begin`; until then the first rows are taken for the
    frequent ones, as in a vocabulary sorted by frequency.

    A table [N, d] is trained. A lookup gives centroids, and their gradient goes straight through to the
    rows. Centroids follow the rows that they stand for: of the loss `sum ||c - sg(q)||^2` over the rows q
    of a batch, whose weight is 1, they have the gradient `2 (c - q)`. Only codes and codebook are stored.

    Reference:
        Kang et al., "Learning Multi-granular Quantized Embeddings for Large-Vocab Categorical Features in
        Recommender Systems", WWW 2020, arXiv 2002.08530: shared centroids, of which rare features have
        fewer; and its source, Chen et al., ICML 2020, arXiv 1908.09756, of which this is DPQ-VQ. One codebook
        is for all fields here, and parts may differ by a column.
    """

    name = "mgqe"
    by_counts = True

    def __init__(self, field_sizes: Sequence[int], dim: int, size: int) -> None:
        super().__init__(field_sizes, dim, size)
        rows = self.num_rows
        self.bits = min(8, max(2, int(math.log2(rows**0.5 / 4))))
        self.rare_bits = max(1, self.bits - _MORE_BITS)
        self.frequent = math.ceil(FREQUENT * rows)
        self._ends = [self.dim * (part + 1) // self.size for part in range(self.size)]
        self._part_of = np.searchsorted(self._ends, np.arange(self.dim), side="right")
        self.codebook = (2**self.bits, self.dim)
        self.shapes = {"rows": (rows, self.dim), "centroids": self.codebook, _FLAGS: (rows, 1)}

    @classmethod
    def sizes(cls, field_sizes: Sequence[int], dim: int) -> tuple[int, int]:
        return 1, dim

    @property
    def stored(self) -> dict[str, tuple[int, int]]:
        return {"centroids": self.codebook}

    @property
    def code_bytes(self) -> int:  # type: ignore[override]
        flags = np.zeros(self.num_rows, bool)
        found = _bytes(self.size * self.num_rows, self.rare_bits)
        found += _bytes(self.size * (1 + self.frequent), self.bits - self.rare_bits)
        return found + sum(array.nbytes for array in _flags(flags).values())

    def initial(self, table: str) -> Any:
        if table != _FLAGS:
            return super().initial(table)
        return lambda shape, dtype=None: tf.cast(tf.range(shape[0])[:, None] < self.frequent, dtype)

    def trained(self, table: str) -> bool:
        return table != _FLAGS

    def begin(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        flags = np.zeros((self.num_rows, 1), np.float32)
        flags[np.argsort(-np.asarray(counts), kind="stable")[: self.frequent]] = 1
        return {_FLAGS: flags}

    def rows(self, rows: tf.Tensor, at: At) -> tf.Tensor:
        ids, places = distinct(rows)
        own = at("rows", ids)
        centroids = at("centroids", tf.range(self.codebook[0]))
        codes = self._nearest(own, centroids, at(_FLAGS, ids) > 0)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(places), places, tf.size(ids))
        found = self._straight_through(own, centroids, codes, tf.cast(counts, own.dtype))
        return expand(found, places, found.dtype)

    def _nearest(self, own: Any, centroids: Any, frequent: Any) -> tf.Tensor:
        """The codes int32 [u, parts] of rows [u, d], which are `frequent` or not [u, 1]."""
        allowed = frequent | (tf.range(self.codebook[0]) < 2**self.rare_bits)
        codes, first = [], 0
        for end in self._ends:
            part = centroids[:, first:end]
            distance = tf.reduce_sum(part * part, axis=1)
            distance -= 2 * tf.matmul(own[:, first:end], part, transpose_b=True)
            distance = tf.where(allowed, distance, np.inf)
            codes.append(tf.argmin(distance, axis=1, output_type=tf.int32))
            first = end
        return tf.stack(codes, axis=1)

    def _places(self, codes: tf.Tensor) -> tf.Tensor:
        """Where in the codebook, read row by row, the numbers of rows are: int32 [u, d]."""
        return tf.gather(codes, self._part_of, axis=1) * self.dim + tf.range(self.dim)

    def _straight_through(
        self, own: tf.Tensor, centroids: tf.Tensor, codes: tf.Tensor, counts: tf.Tensor
    ) -> tf.Tensor:
        """The rows [u, d] that codes stand for; see the class for gradients. `counts`: of each in the batch."""
        places = self._places(codes)

        @tf.custom_gradient
        def chosen(
            own: tf.Tensor, centroids: tf.Tensor
        ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
            found = take(tf.reshape(centroids, [-1]), places)

            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                pull = 2 * counts[:, None] * (found - own)
                flat, size = tf.reshape(places, [-1]), self.codebook[0] * self.dim
                summed = tf.math.unsorted_segment_sum(tf.reshape(pull, [-1]), flat, size)
                return upstream, tf.reshape(summed, self.codebook)

            return found, gradient

        return chosen(own, centroids)

    def codes(self, tables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        own, centroids, frequent = tables["rows"], tables["centroids"], tables[_FLAGS] > 0
        size = BLOCK_ENTRIES // self.codebook[0]
        blocks = [slice(start, start + size) for start in range(0, len(own), size)]
        codes = np.concatenate([self._nearest(own[x], centroids, frequent[x]) for x in blocks])
        # Of each code the low bits, and those above them, which only frequent features have.
        low, high = codes % 2**self.rare_bits, codes // 2**self.rare_bits
        high = np.concatenate([np.zeros((1, self.size), np.int32), high[frequent[:, 0]]])
        return {
            "codes": _packed(low, self.rare_bits),
            "more_codes": _packed(high, self.bits - self.rare_bits),
            **_flags(frequent[:, 0]),
        }

    def served(self, rows: tf.Tensor, at: At, arrays: Arrays) -> tf.Tensor:
        (of_frequent,), *_ = Flags(arrays, _FLAGS, group=32).find(rows)
        codes = self._unpacked(arrays["codes"], rows, self.rare_bits)
        more = self._unpacked(
            arrays["more_codes"], tf.maximum(of_frequent, 0), self.bits - self.rare_bits
        )
        centroids = at("centroids", tf.range(self.codebook[0]))
        return take(tf.reshape(centroids, [-1]), self._places(codes + 2**self.rare_bits * more))

    def _unpacked(self, stored: tf.Tensor, rows: tf.Tensor, bits: int) -> tf.Tensor:
        """int32 [n, parts]: the codes of rows, as `_packed` stored them."""
        of_row = bits * self.size  # eight rows begin with a byte: no number of a bit is above int32
        at = (rows % 8 * of_row)[:, None] + bits * tf.range(self.size)
        octets = (rows // 8 * of_row)[:, None] + at // 8
        low, high = (tf.cast(take(stored, octets + i), tf.int32) for i in range(2))
        shift = take(tf.constant(2 ** np.arange(8), tf.int32), at % 8)
        return (low + 256 * high) // shift % 2**bits


def _bytes(codes: int, bits: int) -> int:
    return 1 + -(-codes * bits // 8)  # two are read at once


def _packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """uint8: codes of so many bits, one behind the other, the lowest bit first."""
    each = (codes[..., None] >> np.arange(bits) & 1).astype(bool)
    return np.append(np.packbits(each, bitorder="little"), np.uint8(0))


def _flags(frequent: np.ndarray) -> dict[str, np.ndarray]:
    return Flags.encode([frequent], None, _FLAGS, zeros=0, group=32)
