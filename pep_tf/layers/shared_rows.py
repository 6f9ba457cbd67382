"""Layers that are looked up with the same rows: one table, and one lookup for all."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pep_tf.layers.pep_embedding import PEPEmbedding
from pep_tf.tables import RowTable


def look_up_together(layers: Sequence[keras.layers.Layer], rows: tf.Tensor) -> list[tf.Tensor]:
    """The output of each layer for the same rows; layers that share a table are looked up once.

    Args:
        layers: built layers; see `share_rows`.
        rows: integers of any shape.
    """
    outputs: list[Any] = [None] * len(layers)
    shared: dict[RowTable, list[int]] = {}
    for i, layer in enumerate(layers):
        table = layer.table.row_table if isinstance(layer, PEPEmbedding) else None
        if table is None or not _is_shared(table, layer):
            outputs[i] = layer(rows)
        else:
            shared.setdefault(table, []).append(i)
    for table, at in shared.items():
        layers[at[0]].meet_optimizer()
        found = table.lookup(rows)
        own = [layers[i].effective_rows(found._replace(route=None)) for i in at]
        if found.route is not None:  # one message for all
            both = found.route.back(tf.concat(own, -1))
            own = tf.split(both, [layers[i].output_dim for i in at], axis=-1)
        for i, output in zip(at, own, strict=True):
            outputs[i] = output
    return outputs


def _is_shared(table: RowTable, layer: PEPEmbedding) -> bool:
    return any(v is not layer.table and v is not layer.thresholds for v in table.variables)


def share_rows(layers: Sequence[keras.layers.Layer]) -> None:
    """Joins the tables of built layers that are always looked up with the same rows."""
    own = [layer for layer in layers if isinstance(layer, PEPEmbedding)]
    own = [layer for layer in own if layer.input_dim == own[0].input_dim]
    if len(own) > 1:
        RowTable.joined([layer.table.row_table for layer in own])
