"""From a trained, pruned model to a folder that a stock TF Serving loads."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.raw import RawTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.export.dense_table import DenseTable
from pep_tf.export.model_card import MODEL_CARD, model_card, vocabulary_bytes, write_card
from pep_tf.export.packed_table import PackedTable
from pep_tf.export.requests import sample_inputs, write_requests
from pep_tf.export.serving_module import ServingModule, Table
from pep_tf.export.tower import FrozenTower, Interaction
from pep_tf.export.value_code import DTYPES
from pep_tf.export.version_folder import publish_version

__all__ = ["MODEL_CARD", "build_module", "export_saved_model"]

Rows = np.ndarray | Iterable[np.ndarray]


def export_saved_model(
    folder: str | Path,
    *,
    schema: FeatureSchema,
    table: Rows,
    tower: Interaction,
    first_order: Rows | None = None,
    transform: RawTransform | None = None,
    metadata: Mapping[str, Any] | None = None,
    examples: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    packed: bool = True,
) -> Path:
    """Writes the next version of a SavedModel: `<folder>/<latest + 1>/`.

    Signatures: `ids` (`ids` int32 [B, F], per-field ids, to `probability` and `logit`, float32 [B])
    and `serving_default` (a tensor [B] for each raw column, to `probability`; the same as `ids`
    where there is no transform). An id outside its field makes the request fail with
    InvalidArgument; an empty batch gives empty answers.

    Args:
        folder: the model's folder; TF Serving's `--model_base_path`.
        schema: the fields; its `num_features` N is the number of rows.
        table: effective embedding table float32 [N, d], exact zeros where pruned; or row blocks
            float32 [n_i, d] in order, so that no N x d array is needed.
        tower: the trained Keras model: `interact(embedded, first_order)` and `variables`.
        first_order: effective first-order weights float32 [N, 1], or row blocks of them, or None.
        transform: raw columns to ids, for requests with raw features.
        metadata: JSON-ready facts for `model_card.json`, such as data set, split md5 and metrics.
        examples: `{raw column: values}`, a few rows of the log for the sample requests in
            `assets.extra/requests/` and the warm-up requests; else every value is missing.
        dtype: how the surviving numbers are stored: `"float32"`, `"float16"` or `"int8"`. With the
            latter two the matrices of the tower are float16; the arithmetic stays in float32.
        packed: False stores every number of the table, zeros too: the form to compare with.

    Returns:
        The folder of the new version.

    Raises:
        ValueError: a table of another shape than the schema asks for, or not finite; an unknown
            `dtype`; a transform with other vocabulary sizes.
        RunError: the folder cannot be written. Nothing is left half-written.
    """
    module = build_module(
        schema=schema,
        table=table,
        tower=tower,
        first_order=first_order,
        transform=transform,
        dtype=dtype,
        packed=packed,
    )
    card = model_card(schema, module, dtype, metadata)
    raw_spec = None if transform is None else transform.raw_spec()
    samples = sample_inputs(schema, raw_spec, examples)

    def write(draft: Path) -> None:
        signatures = module.signatures()
        tf.saved_model.save(module, str(draft), signatures)
        warmed = write_requests(draft, Path(folder).resolve().name, samples, signatures)
        facts = {
            "format": "saved_model",
            "warmup_requests": warmed,
            "vocabulary_bytes": vocabulary_bytes(module),
        }
        write_card({**card, **facts}, draft)

    return publish_version(folder, write)


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
    """The `tf.Module` that `export_saved_model` saves; arguments and errors are the same.

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
    frozen = FrozenTower(
        tower,
        num_fields=schema.num_fields,
        dim=main.dim,
        has_first_order=linear is not None,
        dtype=tower_dtype or ("float32" if dtype == "float32" else "float16"),
    )
    return ServingModule(schema, main, linear, frozen, transform)


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
