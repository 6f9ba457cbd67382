"""From a trained, pruned model to the module that is written out, in whatever format."""

from collections.abc import Iterable, Iterator

import numpy as np

from pep_tf.data.raw import RawTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.export.serving_module import ServingModule
from pep_tf.export.tables import PackedTables, SeparateTables, Tables
from pep_tf.export.tower import FrozenTower, Interaction
from pep_tf.tables.packed import DTYPES, DenseTable, Entries, StoredTable, pack
from pep_tf.tables.packed.values import LEARNED

RowBlocks = np.ndarray | Iterable[np.ndarray]
Table = RowBlocks | StoredTable
_EXACT = ("float32", *LEARNED)  # whose answers are the model's: its matrices keep all bits


def build_module(
    *,
    schema: FeatureSchema,
    table: Table,
    tower: Interaction,
    first_order: Table | None = None,
    transform: RawTransform | None = None,
    dtype: str = "float32",
    first_order_dtype: str | None = None,
    lite: bool = False,
    packed: bool = True,
) -> ServingModule:
    """The `tf.Module` that is saved; arguments and errors are those of `export_saved_model`.

    With `lite` the tower is float32 in numbers and arithmetic, whatever `dtype` and model say: LiteRT
    has no other kernels for it, and would unpack its matrices on load.
    """
    dtypes = dtype, first_order_dtype or dtype
    for own in dtypes:
        if own not in DTYPES or (own != "float32" and not packed):
            raise ValueError(
                f"`dtype` must be one of {list(DTYPES)}, and 'float32' where `packed` is False."
                f" Received: {own!r}"
            )
    tables = _tables(schema, table, first_order, dtypes, packed)
    if transform is not None:
        sizes = transform.schema.sizes
        if sizes != schema.sizes:
            raise ValueError(
                f"`transform` must give ids of the schema's sizes {schema.sizes}. Received sizes:"
                f" {sizes}"
            )
        transform = transform.without(~tables.occupied)
    frozen = FrozenTower(
        tower,
        kept=tables.kept,
        has_first_order=first_order is not None,
        dtype="float32" if lite or dtype in _EXACT else "float16",
        float32=lite,
    )
    return ServingModule(schema, tables, frozen, dtype, transform)


def _tables(
    schema: FeatureSchema,
    table: Table,
    first_order: Table | None,
    dtypes: tuple[str, str],
    packed: bool,
) -> Tables:
    if isinstance(table, StoredTable) or isinstance(first_order, StoredTable):

        def stored(own: Table, dtype: str, name: str) -> StoredTable:
            if isinstance(own, StoredTable):
                return own
            return pack(_blocks(own, name), dtype=dtype, field_sizes=schema.sizes)

        main = stored(table, dtypes[0], "table")
        linear = None if first_order is None else stored(first_order, dtypes[1], "first_order")
        _check_shapes(schema, main, linear)
        return PackedTables(main, linear, schema)
    weights = None if first_order is None else _blocks(first_order, "first_order")
    rows = _blocks(table, "table")
    if packed:
        entries = Entries.of(rows), None if weights is None else Entries.of(weights)
        _check_shapes(schema, *entries)
        return PackedTables.of(*entries, dtypes, schema)
    dense = DenseTable.of(rows), None if weights is None else DenseTable.of(weights)
    _check_shapes(schema, *dense)
    return SeparateTables(*dense, schema.num_fields)


def _blocks(rows: RowBlocks, name: str) -> Iterator[np.ndarray]:
    """Row blocks as float32, each checked."""
    for block in [rows] if isinstance(rows, np.ndarray) else rows:
        block = np.asarray(block)
        if block.ndim != 2:
            raise ValueError(
                f"`{name}` must be rows of numbers, shape [n, d]. Received: shape={block.shape}"
            )
        if not np.isfinite(block).all():
            raise ValueError(f"`{name}` must be finite. Received: NaN or infinity.")
        yield block.astype(np.float32, copy=False)


def _check_shapes(
    schema: FeatureSchema, table: Entries | StoredTable, first_order: Entries | StoredTable | None
) -> None:
    for name, part in (("table", table), ("first_order", first_order)):
        if part is not None and part.num_rows != schema.num_features:
            raise ValueError(
                f"`{name}` must have {schema.num_features} rows, one for each feature of the "
                f"schema. Received: {part.num_rows}"
            )
    if first_order is not None and first_order.dim != 1:
        raise ValueError(f"`first_order` must be of width 1. Received: {first_order.dim}")
