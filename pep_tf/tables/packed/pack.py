"""The form in which a table takes the fewest bytes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.field_columns import FieldColumns
from pep_tf.tables.packed.field_table import FieldTable
from pep_tf.tables.packed.packed_table import PackedTable
from pep_tf.tables.packed.prefix_table import PrefixTable
from pep_tf.tables.packed.stored_table import StoredTable
from pep_tf.tables.packed.values import ITEM_BYTES

# Of `saved_model.pb`: what a table stored entry by entry takes more than a narrow one, by its variables,
# and what the operations of the lookup take, which tables of one form share.
_TABLE_BYTES, _LOOKUP_BYTES = 14_000, 42_000
STEPS = 1.1  # of the bytes that int4 takes with a scale for 64 numbers, what steps may take
FORMS: dict[str, type[StoredTable]] = {
    form.__name__: form for form in (PackedTable, FieldTable, PrefixTable)
}


def pack(
    blocks: Iterable[np.ndarray] | Entries,
    *,
    dtype: str = "float32",
    field_sizes: Sequence[int] | None = None,
    room: int = 0,
) -> Any:
    """A table of row blocks in few bytes; its arrays are NumPy's.

    Entry by entry, or without a mask where that takes no more bytes: see `without_mask`.

    Args:
        blocks: row blocks float32 [n_i, d] in order, only one of which is held at a time; or the
            `Entries` of such.
        dtype: how values are stored: `"float32"`, `"float16"`, `"int8"` or `"int4"`, see `Values`. In int4
            rows of known fields that are not narrow tables have a step for each field and column, which
            loses less than a scale for 64 numbers (docs/methods.md), where that takes few bytes more.
        field_sizes: rows of each field, N in all; None for a table of one field.
        room: so many bytes more may narrow tables take, whose lookup has a smaller graph.

    Raises:
        ValueError: no row, blocks of different widths, an unknown `dtype`, or sizes that do not sum
            to N.
    """
    entries = blocks if isinstance(blocks, Entries) else Entries.of(blocks)
    packed = PackedTable.of(entries, dtype=dtype)
    found = without_mask(entries, dtype, field_sizes, packed.nbytes, room) or packed
    if dtype == "int4" and field_sizes is not None and not isinstance(found, FieldTable):
        kind: Any = FORMS["SteppedTable"]  # which stores its whole numbers by this function
        stepped = kind.nearest(entries, field_sizes)
        return stepped if stepped.nbytes <= STEPS * found.nbytes else found
    return found


def without_mask(
    entries: Entries, dtype: str, field_sizes: Sequence[int] | None, most: int, room: int = 0
) -> FieldTable | PrefixTable | None:
    """The table of at most so many bytes whose fields keep columns, or whose rows their first numbers.

    Both are faster than entries by a mask, the former most: it may take `room` more. None where they
    would take more.
    """
    found = _by_fields(entries, dtype, field_sizes, most + room)
    most = most if found is None else min(most, found.nbytes - room)
    prefixes = PrefixTable.within(entries, dtype, most) if entries.dim > 1 else None
    return prefixes or found


def _by_fields(
    entries: Entries, dtype: str, field_sizes: Sequence[int] | None, most: int
) -> FieldTable | None:
    sizes = [entries.num_rows] if field_sizes is None else list(field_sizes)
    stored = FieldColumns.of(entries, sizes)
    numbers = sum(n * len(own) for n, own in zip(sizes, stored.columns, strict=True))
    if ITEM_BYTES[dtype] * numbers > most:  # known before anything is encoded
        return None
    table = FieldTable.in_columns(entries, sizes, stored, dtype)
    return table if table.nbytes <= most else None


def graph_bytes(alike: int) -> int:
    """The `room` of a table that is one of so many of its width in a model."""
    return _TABLE_BYTES + _LOOKUP_BYTES // alike
