"""From a trained, pruned model to the module that is written out, in whatever format."""

from collections.abc import Iterable, Iterator

import numpy as np

from pep_tf.data.raw import RawTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.export.serving_module import ServingModule
from pep_tf.export.tables import PackedTables, SeparateTables, Tables
from pep_tf.export.tower import FrozenTower, Interaction
from pep_tf.tables.packed import DTYPES, DenseTable, Entries, StoredTable, pack

RowBlocks = np.ndarray | Iterable[np.ndarray]
Table = RowBlocks | StoredTable


def build_module(
    *,
    schema: FeatureSchema,
    table: Table,
    tower: Interaction,
    first_order: RowBlocks | None = None,
    transform: RawTransform | None = None,
    dtype: str = "float32",
    lite: bool = False,
    packed: bool = True,
) -> ServingModule:
    """The `tf.Module` that is saved; arguments and errors are those of `export_saved_model`.

    With `lite` the tower is float32 in numbers and arithmetic, whatever `dtype` and model say: LiteRT
    has no other kernels for it, and would unpack its matrices on load.
    """
    if dtype not in DTYPES or (dtype != "float32" and not packed):
        raise ValueError(
            f"`dtype` must be one of {list(DTYPES)}, and 'float32' where `packed` is False."
            f" Received: {dtype!r}"
        )
    tables = _tables(schema, table, first_order, dtype, packed)
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
        num_fields=schema.num_fields,
        dim=tables.table.dim,
        has_first_order=first_order is not None,
        dtype="float32" if lite or dtype == "float32" else "float16",
        float32=lite,
    )
    return ServingModule(schema, tables, frozen, dtype, transform)


def _tables(
    schema: FeatureSchema, table: Table, first_order: RowBlocks | None, dtype: str, packed: bool
) -> Tables:
    weights = None if first_order is None else _blocks(first_order, "first_order")
    if isinstance(table, StoredTable):
        alone = None if weights is None else pack(weights, dtype=dtype, field_sizes=schema.sizes)
        _check_shapes(schema, table, alone)
        return SeparateTables(table, alone)
    rows = _blocks(table, "table")
    if packed:
        main, linear = Entries.of(rows), None if weights is None else Entries.of(weights)
        _check_shapes(schema, main, linear)
        return PackedTables(main, linear, dtype, schema)
    dense = DenseTable.of(rows), None if weights is None else DenseTable.of(weights)
    _check_shapes(schema, *dense)
    return SeparateTables(*dense)


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
