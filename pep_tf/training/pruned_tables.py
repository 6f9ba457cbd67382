"""Which tables of a model a budget covers: the embedding, and the first-order weights if asked for."""

import math
import os
import tempfile
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.layers import PEPEmbedding
from pep_tf.tables import BLOCK_ENTRIES
from pep_tf.training.cut import cut_mask

EMBEDDING, FIRST_ORDER = "embedding", "first_order"


def pruned_tables(model: keras.Model) -> dict[str, PEPEmbedding]:
    """`{attribute of the model: layer}` of the tables with thresholds, the embedding first.

    Raises:
        RunError: a model whose embedding has no thresholds.
    """
    found = {name: getattr(model, name, None) for name in (EMBEDDING, FIRST_ORDER)}
    tables = {
        name: layer
        for name, layer in found.items()
        if isinstance(layer, PEPEmbedding) and layer.pruning == "threshold"
    }
    if EMBEDDING not in tables:
        raise RunError(
            "`model` must have an attribute `embedding` that is a PEPEmbedding with "
            f"pruning='threshold'. Received: {type(model).__name__} with {found[EMBEDDING]!r}"
        )
    return tables


def widths(tables: Mapping[str, PEPEmbedding]) -> list[int]:
    """Columns of each table, side by side: d, then 1 if the first-order weights are among them."""
    return [layer.output_dim for layer in tables.values()]


class Look:
    """Score and value of all entries at one moment, the tables side by side as one of N x (d + 1).

    A walk over a table that is updated lazily makes up for the skipped steps of every row; a cut
    takes several walks, so they go over two temporary files instead, with bounded memory.

    Args:
        tables: see `pruned_tables`.

    Attributes:
        score: float32 [N, d (+ 1)], `|V| - g(s)`.
        entries: float32 [N, d (+ 1)], E.
    """

    def __init__(self, tables: Mapping[str, PEPEmbedding]) -> None:
        first, *others = tables.values()
        shape = (first.input_dim, sum(widths(tables)))
        self.score, self.entries = _temporary(shape), _temporary(shape)
        for start, entries, score in first.blocks():
            rows = tf.range(start, start + len(score))
            beside = [layer.effective(layer.read(rows)) for layer in others]
            block = slice(start, start + len(score))
            self.entries[block] = tf.concat([entries, *(e for e, _ in beside)], axis=1)
            self.score[block] = tf.concat([score, *(s for _, s in beside)], axis=1)

    def mask(self, budget: int) -> np.ndarray:
        """uint8 [N, ceil(width / 8)]: the `budget` entries of the highest score; see `cut_mask`."""
        num_features, width = self.score.shape
        return cut_mask(lambda: blocks_of(self.score), num_features, width, budget)


def _temporary(shape: tuple[int, int]) -> np.ndarray:
    """An array of zeros in a file that goes when the array does."""
    size = 4 * math.prod(shape)
    with tempfile.TemporaryFile() as file:
        try:
            # A full disk is an error now; writing to the array it would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise RunError(
                f"Cannot write {size:,} bytes to {tempfile.gettempdir()} for the cut of a ticket: "
                f"{error.strerror}. Make room, or set TMPDIR to another folder."
            ) from error
        return np.memmap(file, np.float32, "r+", shape=shape)


def blocks_of(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """First row and rows of blocks of bounded size."""
    size = max(1, BLOCK_ENTRIES // rows.shape[1])
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def split_bits(bits: np.ndarray, tables: Mapping[str, PEPEmbedding]) -> dict[str, np.ndarray]:
    """The mask of each table, uint8 [N, ceil(width / 8)], from the one of all side by side."""
    ends = np.cumsum(widths(tables))
    found: dict[str, list[np.ndarray]] = {name: [] for name in tables}
    for _, block in blocks_of(bits):
        columns = np.split(np.unpackbits(block, axis=1, count=ends[-1]), ends[:-1], axis=1)
        for name, own in zip(tables, columns, strict=True):
            found[name].append(np.packbits(own, axis=1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def kept_entries(values: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The entries of [N, width] under a mask in bits, in order, [nnz]."""
    kept = [np.zeros(0, values.dtype)]
    for start, block in blocks_of(values):
        mask = np.unpackbits(bits[start : start + len(block)], axis=1, count=block.shape[1])
        kept.append(block[mask.astype(bool)])
    return np.concatenate(kept)
