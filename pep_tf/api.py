"""The package in a notebook: prune a model, retrain its tickets, export them."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pep_tf import training
from pep_tf.data import CTRData, FeatureSchema
from pep_tf.data.dataset import require_data
from pep_tf.errors import RunError
from pep_tf.export.check import FORMATS, Check
from pep_tf.export.litert import export_litert
from pep_tf.export.saved_model import export_saved_model
from pep_tf.layers import PEPEmbedding, TicketEmbedding
from pep_tf.tables.packed.values import DTYPES
from pep_tf.training import Reporter, Settings, Ticket
from pep_tf.training.budgets import Budget

_ROWS_TO_CHECK = 1024


def prune(
    model: keras.Model,
    data: CTRData,
    *,
    budgets: Sequence[Budget],
    settings: Settings | None = None,
    folder: pathlib.Path | str | None = None,
    reporter: Reporter | None = None,
    **changes: Any,
) -> list[Ticket]:
    """Prunes a model's embedding table; returns one ticket a budget, largest first.

    Args:
        model: a model of `pep_tf.models`, or any whose `embedding` is a `PEPEmbedding`.
        data: train and validation splits.
        budgets: entries to keep: counts, fractions or percentages.
        settings: see `Settings`; its defaults are the paper's.
        folder: keeps checkpoint and tickets; a second call goes on from there.
        reporter: receives the progress.
        **changes: fields of `settings` that differ.

    Raises:
        DataError: data that cannot be trained on or scored, before the first step.
        RunError: a model without thresholds, a bad budget, a loss that is not finite.
    """
    settings = dataclasses.replace(settings or Settings(), **changes)
    folder = None if folder is None else pathlib.Path(folder)
    result = training.prune(model, data, settings, budgets, folder=folder, reporter=reporter)
    return result.tickets


def export(
    model: keras.Model,
    folder: pathlib.Path | str,
    *,
    data: CTRData | None = None,
    dtype: str = "float32",
    format: str = "savedmodel",
    metadata: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes a trained model for serving, `<folder>/<version>/`.

    Args:
        model: a built model of `pep_tf.models` with an embedding.
        folder: gets version 1, or the latest version + 1; one folder for each format.
        data: what the model was trained on. With it `serving_default` takes raw features by name,
            and what was written is checked: its answers on a validation batch must be the model's,
            within 1e-6 for float32 (1e-5 in LiteRT) and 1e-3 for float16; the largest difference
            stands in the model card.
        dtype: `"float32"`, `"float16"` or `"int8"`, see `export_saved_model`.
        format: `"savedmodel"` for TF Serving, or `"litert"` for a `.tflite` with the `ids`
            signature.
        metadata: JSON-ready facts for the model card.

    Returns:
        The folder of the new version.

    Raises:
        DataError: `data` that is no `CTRData`.
        RunError: a model without a PEPEmbedding, an unknown `dtype` or `format`, answers that
            differ, or a folder that cannot be written. Nothing is left half-written.
    """
    if data is not None:
        require_data(data)
    if not isinstance(getattr(model, "embedding", None), PEPEmbedding | TicketEmbedding):
        raise RunError(
            "`model` must have an attribute `embedding` that is a PEPEmbedding or a "
            "TicketEmbedding. "
            f"Received: {type(model).__name__} with {getattr(model, 'embedding', None)!r}"
        )
    for name, value, allowed in (("dtype", dtype, DTYPES), ("format", format, FORMATS)):
        if value not in allowed:
            raise RunError(f"`{name}` must be one of {list(allowed)}. Received: {value!r}")
    first_order = model.first_order
    arguments: dict[str, Any] = {
        "schema": FeatureSchema.of(model.fields),
        "table": model.embedding.row_blocks(),
        "tower": model,
        "first_order": None if first_order is None else first_order.row_blocks(),
        "metadata": metadata,
        "check": None if data is None else _answers(model, data),
        "dtype": dtype,
    }
    if format == "litert":
        return export_litert(folder, **arguments)
    if data is not None:
        arguments |= {"transform": data.transform, "examples": data.examples}
    return export_saved_model(folder, **arguments)


def _answers(model: keras.Model, data: CTRData) -> Check:
    """What the model answers to the first validation rows."""
    ids, _ = next(iter(data.validation.batches(_ROWS_TO_CHECK)))
    return Check(ids.numpy(), tf.sigmoid(model(ids, training=False))[:, 0].numpy())
