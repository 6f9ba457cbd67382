"""What a ticket keeps of one table, and the layer that holds it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pep_tf.layers import TicketEmbedding
from pep_tf.tables import BLOCK_ENTRIES
from pep_tf.training.weights import joined

# What the layer of a ticket takes over from the configuration of the table that was pruned.
_ARGUMENTS = ("name", "dtype", "mask_zero", "combiner", "field_sizes", "activity_regularizer")
_NEEDED = ("embeddings_regularizer", "embeddings_constraint")  # if they are set


@dataclasses.dataclass
class KeptTable:
    """What a ticket keeps of one table.

    Attributes:
        bits: uint8 [N, ceil(d / 8)], rows of the mask by `numpy.packbits`.
        dim: d.
        path: of the layer in the model; names its weights.
        config: of the layer that was pruned.
    """

    bits: np.ndarray
    dim: int
    path: str
    config: dict[str, Any]

    @property
    def weight(self) -> str:
        """Name of the table's entries among a ticket's weights."""
        return joined(self.path, "table")

    @property
    def nnz(self) -> int:
        """Entries that are kept."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    def mask(self) -> np.ndarray:
        """bool [N, d]."""
        return np.unpackbits(self.bits, axis=1, count=self.dim).astype(bool)

    def entries(self, values: np.ndarray) -> np.ndarray:
        """The entries of [N, d] that are kept, in order, [nnz]."""
        kept, rows = [np.zeros(0, values.dtype)], max(1, BLOCK_ENTRIES // self.dim)
        for start in range(0, len(values), rows):
            bits = self.bits[start : start + rows]
            mask = np.unpackbits(bits, axis=1, count=self.dim).astype(bool)
            kept.append(values[start : start + rows][mask])
        return np.concatenate(kept)

    def layer(self) -> TicketEmbedding:
        """A built layer for what is kept, its entries 0."""
        return ticket_layer(self.config, self.bits, self.dim)

    def random_entries(self) -> np.ndarray:
        """Newly initialised values at the kept entries, float32 [nnz]."""
        initializer = keras.initializers.get(self.config["embeddings_initializer"])
        return initializer((len(self.bits), self.dim)).numpy()[self.mask()]

    @staticmethod
    def load(layer: TicketEmbedding, like: TicketEmbedding, entries: np.ndarray) -> None:
        """Gives a new layer these entries, at the places of a layer made by `layer`."""
        for own, other in zip(layer.non_trainable_weights, like.non_trainable_weights, strict=True):
            own.assign(other)
        (values,) = layer.trainable_weights
        # A layer has one entry at least; it is beyond all rows in a ticket that keeps nothing.
        values.assign(entries[:, None] if len(entries) else np.zeros((1, 1), np.float32))


def ticket_layer(config: Mapping[str, Any], bits: np.ndarray, dim: int) -> TicketEmbedding:
    """The built layer that takes the place of a table of this configuration under a mask."""
    arguments = {name: config[name] for name in _ARGUMENTS if config.get(name) not in (None, False)}
    arguments |= {name: config[name] for name in _NEEDED if config.get(name) is not None}
    return TicketEmbedding.of_mask(bits, dim, **arguments)
