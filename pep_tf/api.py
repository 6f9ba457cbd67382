"""The package in a notebook: prune a model, retrain its tickets, export them."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
from absl import logging

from pep_tf import training
from pep_tf.data import CTRData, FeatureSchema
from pep_tf.data.arrays import as_data
from pep_tf.data.dataset import require_data
from pep_tf.errors import ModelError, RunError
from pep_tf.export.any_model import export_any
from pep_tf.export.check import FORMATS, Check
from pep_tf.export.keys import export_keys
from pep_tf.export.litert import export_litert
from pep_tf.export.precision import in_float32, whole_products
from pep_tf.export.saved_model import export_saved_model
from pep_tf.layers.table_layer import TableLayer
from pep_tf.models import CTRModel
from pep_tf.models.fm import FM
from pep_tf.tables.packed.values import StoredAs, check_stored_as, dtype_of
from pep_tf.tables.small import SCHEMES
from pep_tf.training import Reporter, Settings, Silent, Ticket
from pep_tf.training.methods import METHODS, PEP, idle_settings
from pep_tf.training.methods.by_bytes import by_bytes
from pep_tf.training.settings import refuse_idle
from pep_tf.training.ticket import STARTS_FROM

_ROWS_TO_CHECK = 1024


def prune(
    model: keras.Model,
    data: Any,
    *,
    budgets: Any,
    method: str | None = None,
    dtype: StoredAs | None = None,
    settings: Settings | None = None,
    folder: pathlib.Path | str | None = None,
    reporter: Reporter | None = None,
    **changes: Any,
) -> list[Ticket]:
    """Prunes a model's embedding table; returns one ticket a budget, largest first.

    Args:
        model: a model that maps ids [B, F] to logits [B, 1], with a `PEPEmbedding` or more.
        data: train and validation splits; or arrays or `tf.data.Dataset`s, as
            `pep_tf.data.from_arrays` takes them, for a model of `pep_tf.models`.
        budgets: entries to keep of all tables or by table, or bytes; as for `PruneCallback`.
        method: how entries are chosen, one of `pep_tf.training.METHODS`: `"pep"`, by thresholds that
            are trained; `"magnitude"`, the largest of the table trained whole; `"magnitude_rounds"`,
            so for each budget from the ticket before; `"prefix"`; `"darts"`; `"random"`. By default
            `"pep"`; for an `"fm"` whose budgets are all in bytes, where neither this nor `dtype` is given,
            `"prefix"` with `dtype="lsq4"` and tickets that start from the weights at the cut, which the
            reporter is told.
        dtype: how an export will store numbers, see `export`; budgets in bytes go by it. With `"lsq8"` and
            `"lsq4"` tickets are retrained with the numbers that will be stored. By default `"float32"`.
        settings: see `Settings`; its defaults are the paper's.
        folder: keeps checkpoint and tickets; a second call goes on from there.
        reporter: receives the progress.
        **changes: fields of `settings` that differ.

    Raises:
        DataError: data that cannot be trained on or scored, before the first step.
        RunError: a model without thresholds, a bad budget, a loss that is not finite.

    Example:
        >>> ids = np.random.default_rng(0).integers(0, 9, (200, 2))
        >>> model = build_model("fm", {"user": 9, "item": 9}, embedding_dim=4)
        >>> data = (ids, ids.sum(axis=1) % 2)
        >>> [ticket] = prune(model, data, budgets=[10], method="magnitude", epochs=1)
        >>> ticket.retrain(data, epochs=1).epochs, ticket.nnz
        (1, 10)
    """
    own = {"method": method, "dtype": dtype}
    asked = {*changes, *(name for name, value in own.items() if value is not None)}
    chosen = by_bytes("fm" if type(model) is FM else None, budgets, asked)
    if chosen is not None:
        method, dtype = chosen.method, chosen.dtype
        (reporter or Silent()).note(f"budgets in bytes: method={method!r}, dtype={dtype!r}")
    method, dtype = method or PEP, dtype or "float32"
    if method in SCHEMES:
        raise RunError(
            f"Method {method!r} has no tickets: its small tables are trained as they are. Give "
            f"pep_tf.layers.SmallEmbedding(..., {method!r}, size) to build_model(embedding=...) and train it "
            "by pep_tf.training.fit, or use the main command."
        )
    if method not in METHODS:
        raise RunError(f"`method` must be one of {list(METHODS)}. Received: {method!r}")
    pruning = "pruning, which takes `prune_epochs`; give it to `retrain`"
    what = pruning if method == PEP else f"method={method!r}"
    refuse_idle(changes, idle_settings(method), what)
    settings = dataclasses.replace(settings or Settings(), **changes)
    data = as_data(data, getattr(model, "fields", None), settings.seed)
    options = {"folder": folder, "reporter": reporter, "dtype": dtype}
    tickets = METHODS[method](model, data, settings, budgets, **options).tickets
    if chosen is not None:
        for ticket in tickets:
            ticket.facts = {**ticket.facts, STARTS_FROM: chosen.init}
    return tickets


def export(
    model: keras.Model,
    folder: pathlib.Path | str,
    *,
    examples: Any = None,
    data: CTRData | None = None,
    dtype: StoredAs = "float32",
    format: str = "savedmodel",
    metadata: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes a trained model for serving, `<folder>/<version>/`, its tables in few bytes.

    Any Keras model with embeddings of this package: `serving_default` takes the model's own inputs by
    name, and gives its outputs by their keys or as `output_0` and so on, as `keras.Model.export` has
    them. A model of `pep_tf.models` has the signature `ids`, and `serving_default` takes raw features.

    What was written is checked: its answers must be the model's, within 1e-6 for float32 (1e-5 in
    LiteRT) and 1e-3 for float16, and within 1e-2 for a model that computes in bfloat16 and 2e-3 for
    one in float16, in units of the largest answer where that is above 1. The largest difference
    stands in the model card.

    Args:
        model: a built model with a `PEPEmbedding` or a `TicketEmbedding`, such as
            `ticket.model()` after `fit`.
        folder: gets version 1, or the latest version + 1; one folder for each format.
        examples: a batch of inputs, as the model takes them, to check the answers on. A functional or
            sequential model is checked on made-up inputs without them.
        data: in place of `examples` for a model of `pep_tf.models`: what it was trained on. Gives
            `serving_default` its raw features, and a validation batch to check. Other data than
            `pep_tf.training.fit` or `prune` trained the model on is refused. Keras's own `fit` does
            not see what a batch comes from: say it by `pep_tf.training.note_trained_on(model, data)`,
            or nothing is compared, of which a warning is given.
        dtype: how the entries of the tables are stored: `"float32"`, `"float16"`, `"int8"` or `"int4"`; or
            as a ticket was retrained, `"lsq8"` or `"lsq4"`. A dict tells it by the name of the table:
            `{"embedding": "int8", "first_order": "int4"}`.
        format: `"savedmodel"` for TF Serving, or `"litert"` for a `.tflite`. That computes in float32
            whatever the model's dtype policy is, and is checked against the model in float32.
        metadata: JSON-ready facts for the model card.

    Returns:
        The folder of the new version.

    Raises:
        DataError: `data` that is no `CTRData`.
        RunError: data under another mapping of features to ids, or another split of the same rows,
            than `fit` or `prune` trained the model on; an unknown `dtype` or `format`, answers that
            differ or are not finite, a model that LiteRT cannot run, or a folder that cannot be
            written. Nothing is left half-written.
        ModelError: a model without an embedding of this package, one that does not tell what it takes
            and has no `examples`, or one that cannot be made anew.

    Example:
        >>> ids = keras.Input((), dtype="int32", name="item")
        >>> model = keras.Model(ids, pep_tf.PEPEmbedding(1000, 16)(ids))
        >>> export(model, "served/model", examples=np.array([3, 999]))
        PosixPath('.../served/model/1')
    """
    if not isinstance(model, keras.Model):
        raise ModelError(
            "`model` must be a Keras model, such as a ticket's `model()` after `fit`. "
            f"Received: {type(model).__name__}"
        )
    if data is not None:
        require_data(data)
    if format not in FORMATS:
        raise RunError(f"`format` must be one of {list(FORMATS)}. Received: {format!r}")
    if not isinstance(model, CTRModel):
        if data is not None:
            raise RunError(
                "`data` is for a model of pep_tf.models, whose ids it explains. Give `examples`, a batch "
                f"of inputs. Received: {type(model).__name__} {model.name!r}"
            )
        with whole_products():
            return export_any(
                model, folder, examples=examples, dtype=dtype, format=format, metadata=metadata
            )
    if examples is not None:
        raise RunError("`examples` has no effect for a model of pep_tf.models: give `data`.")
    if not isinstance(model.embedding, TableLayer):
        raise ModelError(
            f"`model` must have an embedding of this package to pack. Received: {type(model).__name__} "
            f"with {model.embedding!r}"
        )
    layers = {"": model.embedding} | (
        {} if model.first_order is None else {"first_order_": model.first_order}
    )
    check_stored_as(dtype, [layer.name for layer in layers.values()])
    known = training.trained_on(model)
    if data is not None:
        then = "Export with the data that it was trained on."
        training.refuse_other_data(known, data, "`model`", then)
        if known is None:
            logging.warning(
                "`model` does not tell what it was trained on: not compared with `data`. After Keras's "
                "own `fit`, pep_tf.training.note_trained_on(model, data) tells it."
            )
        known = data.identity
    if known is not None:
        metadata = {**(metadata or {}), "identity": known.get_config()}
    arguments: dict[str, Any] = {
        "schema": FeatureSchema.of(model.fields),
        "tower": model,
        "metadata": dict(metadata or {}),
    }
    for name, layer in layers.items():
        own = arguments[f"{name}dtype"] = dtype_of(dtype, layer.name)
        arguments[name.rstrip("_") or "table"] = layer.stored_form(own) or layer.row_blocks()
    with whole_products():
        if data is not None:
            arguments["check"], facts = _answers(model, data, format)
            arguments["metadata"] |= facts
        if format == "litert":
            return export_litert(folder, **arguments)
        if data is not None:
            arguments |= {"transform": data.transform, "examples": data.examples}
        return export_saved_model(folder, **arguments)


Ticket.exporter, Ticket.key_exporter = export, export_keys


def _answers(model: keras.Model, data: CTRData, format: str) -> tuple[Check, dict[str, Any]]:
    """What a model answers to the first validation rows in what the format computes in.

    With it, for the model card, what it was trained in where that is something else.
    """
    ids, *_ = next(iter(data.validation.batches(_ROWS_TO_CHECK)))
    check = Check.of(model, ids)
    if format != "litert" or check.precision == "float32":
        return check, {}
    with in_float32(model):
        whole = Check.of(model, ids)
    difference = check.difference(whole.probability)
    return whole, {"trained_in": {"precision": check.precision, "largest_difference": difference}}
