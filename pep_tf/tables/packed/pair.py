"""An embedding table and the first-order weights of the same rows, in the forms that take the fewest bytes."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.field_table import FieldTable
from pep_tf.tables.packed.pack import STEPS, pack, without_mask
from pep_tf.tables.packed.packed_table import PackedTable
from pep_tf.tables.packed.prefix_table import PrefixTable
from pep_tf.tables.packed.stored_table import StoredTable, facts_of
from pep_tf.tables.packed.values import Values


class SharedWeights(StoredTable):
    """First-order weights of places that the embedding table finds."""

    @classmethod
    def of(cls, weights: Entries, dtype: str, bits: int) -> "SharedWeights":
        """Stores weights.

        Args:
            weights: their entries.
            dtype: how values are stored, see `Values`.
            bits: bytes of the bits that say which places have one.
        """
        arrays, unit = Values.encode(weights.rows, dtype, "values")
        return cls(arrays, {**facts_of(weights), "unit": unit, "bits": bits})

    def at(self, places: tf.Tensor) -> tf.Tensor:
        """float32 [n, 1] of places among the weights, 0 being that of none."""
        return Values(self.arrays, "values", self.facts["unit"], 1).at(places)

    def parts(self) -> dict[str, int]:
        values = self._bytes("values", "values_scales")
        return {"values": values, "rows": self.facts["bits"], "masks": 0}


Form = PackedTable | FieldTable | PrefixTable


def pack_pair(
    table: Entries, first_order: Entries | None, dtypes: tuple[str, str], sizes: Sequence[int]
) -> tuple[Form, Form | SharedWeights | None]:
    """The table and the first-order weights as they are stored.

    Args:
        table: entries of the embedding table.
        first_order: those of the first-order weights, or None.
        dtypes: how values of each are stored, see `Values`.
        sizes: rows of each field.
    """
    dtype, own = dtypes
    if first_order is None:
        return pack(table, dtype=dtype, field_sizes=sizes), None
    packed, weights = _by_entry(table, first_order, dtypes)
    most = packed.nbytes + weights.nbytes
    if dtype == "int4":  # steps by field have no index to share
        stepped = pack(table, dtype=dtype, field_sizes=sizes)
        alone = pack(first_order, dtype=own, field_sizes=sizes)
        return (
            (stepped, alone) if stepped.nbytes + alone.nbytes <= STEPS * most else (packed, weights)
        )
    no_mask = without_mask(table, dtype, sizes, packed.nbytes)
    if no_mask is None:
        return packed, weights
    alone = pack(first_order, dtype=own, field_sizes=sizes)
    return (no_mask, alone) if no_mask.nbytes + alone.nbytes <= most else (packed, weights)


def _by_entry(
    table: Entries, first_order: Entries, dtypes: tuple[str, str]
) -> tuple[PackedTable, PackedTable | SharedWeights]:
    """Both entry by entry, by one index where that saves bytes."""
    (dtype, own), occupied = dtypes, table.places | first_order.places
    if first_order.dim == 1 and _worth_sharing(table, occupied):
        bits = first_order.places[occupied]
        packed = PackedTable.of(table.with_places(occupied), dtype=dtype, weights=bits)
        return packed, SharedWeights.of(first_order, own, packed.weights_bytes)
    # What is worth a level is the same as for the table, of which these are a small part.
    weights = PackedTable.of(first_order, dtype=own, level_worth=4 * table.nnz // 20)
    return PackedTable.of(table, dtype=dtype), weights


def _worth_sharing(table: Entries, occupied: np.ndarray) -> bool:
    """Whether places for rows without an entry cost less than a second bitmap over the rows."""
    places = int(np.count_nonzero(occupied))
    added = places - len(table.whole)  # a byte and some bits each
    return added < (len(occupied) - places) / 8
