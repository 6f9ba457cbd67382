"""Which tables of a model a budget covers: the embedding, and the first-order weights if asked for."""

from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.layers import PEPEmbedding

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


def scores(tables: Mapping[str, PEPEmbedding]) -> Iterator[tuple[int, np.ndarray]]:
    """Scores of all entries, the tables side by side as one of N x (d + 1).

    Yields:
        First row of a block, and its scores float32 [rows, d (+ 1)]; see `PEPEmbedding.blocks`.
    """
    first, *others = tables.values()
    for start, _, score in first.blocks():
        rows = tf.range(start, start + len(score))
        beside = [layer.effective(layer.source.look(rows))[1] for layer in others]
        yield start, tf.concat([score, *beside], axis=1).numpy()
