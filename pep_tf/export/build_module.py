"""From a trained, pruned model to the module that is written out, in whatever format."""

from collections.abc import Iterable, Iterator

import numpy as np

from pep_tf.data.raw import RawTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.export.dense_table import DenseTable
from pep_tf.export.packed_table import PackedTable
from pep_tf.export.serving_module import ServingModule, Table
from pep_tf.export.tower import FrozenTower, Interaction
from pep_tf.export.value_code import DTYPES

Rows = np.ndarray | Iterable[np.ndarray]


def build_module(
    *,
    schema: FeatureSchema,
    table: Rows,
    tower: Interaction,
    first_order: Rows | None = None,
    transform: RawTransform | None = None,
    dtype: str = "float32",
    tower_dtype: str | None = None,
    packed: bool = True,
) -> ServingModule:
    """The `tf.Module` that is saved; arguments and errors are those of `export_saved_model`.

    `tower_dtype` is that of the tower's matrices; None takes what goes with `dtype`.
    """
    if dtype not in DTYPES or (dtype != "float32" and not packed):
        raise ValueError(
            f"`dtype` must be one of {list(DTYPES)}, and 'float32' where `packed` is False."
            f" Received: {dtype!r}"
        )
    main = _table(table, "table", dtype, packed)
    linear = None
    if first_order is not None:
        # What is worth a level is the same as for the table, of which these are a small part.
        worth = 4 * main.nnz // 20
        linear = _table(first_order, "first_order", dtype, packed, worth)
    _check_tables(schema, main, linear)
    if transform is not None:
        sizes = transform.schema.sizes
        if sizes != schema.sizes:
            raise ValueError(
                f"`transform` must give ids of the schema's sizes {schema.sizes}. Received sizes:"
                f" {sizes}"
            )
        occupied = main.occupied if linear is None else main.occupied | linear.occupied
        transform = transform.without(~occupied)
    frozen = FrozenTower(
        tower,
        num_fields=schema.num_fields,
        dim=main.dim,
        has_first_order=linear is not None,
        dtype=tower_dtype or ("float32" if dtype == "float32" else "float16"),
    )
    return ServingModule(schema, main, linear, frozen, dtype, transform)


def _table(
    rows: Rows, name: str, dtype: str, packed: bool, level_worth: int | None = None
) -> Table:
    blocks = _blocks(rows, name)
    if packed:
        return PackedTable(blocks, dtype=dtype, name=name, level_worth=level_worth)
    return DenseTable(blocks, name=name)


def _blocks(rows: Rows, name: str) -> Iterator[np.ndarray]:
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


def _check_tables(schema: FeatureSchema, table: Table, first_order: Table | None) -> None:
    for name, part in (("table", table), ("first_order", first_order)):
        if part is not None and part.num_rows != schema.num_features:
            raise ValueError(
                f"`{name}` must have {schema.num_features} rows, one for each feature of the "
                f"schema. Received: {part.num_rows}"
            )
    if first_order is not None and first_order.dim != 1:
        raise ValueError(f"`first_order` must be of width 1. Received: {first_order.dim}")
