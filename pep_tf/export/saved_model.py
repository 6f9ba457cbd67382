"""From a trained, pruned model to a folder that a stock TF Serving loads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from pep_tf.data.raw import Examples, RawTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.export.build_module import Table, build_module
from pep_tf.export.check import Check, saved_model_answer
from pep_tf.export.model_card import MODEL_CARD, model_card, vocabulary_bytes, write_card
from pep_tf.export.requests import sample_inputs, write_requests
from pep_tf.export.tower import Interaction
from pep_tf.export.version_folder import publish_version
from pep_tf.paths import resolve

__all__ = ["MODEL_CARD", "export_saved_model"]


def export_saved_model(
    folder: str | Path,
    *,
    schema: FeatureSchema,
    table: Table,
    tower: Interaction,
    first_order: Table | None = None,
    transform: RawTransform | None = None,
    metadata: Mapping[str, Any] | None = None,
    examples: Examples | None = None,
    check: Check | None = None,
    dtype: str = "float32",
    first_order_dtype: str | None = None,
    packed: bool = True,
) -> Path:
    """Writes the next version of a SavedModel: `<folder>/<latest + 1>/`.

    Signatures: `ids` (`ids` int32 [B, F], per-field ids, to `probability` and `logit`, float32 [B];
    numbers are not among them but in `values`, float32, in the order of their fields) and
    `serving_default` (a tensor [B] for each raw column, to `probability`; the same as `ids` where
    there is no transform). An id outside its field makes the request fail with
    InvalidArgument; an empty batch gives empty answers.

    Args:
        folder: the model's folder; TF Serving's `--model_base_path`.
        schema: the fields; its `num_features` N is the number of rows.
        table: effective embedding table float32 [N, d], exact zeros where pruned; or row blocks
            float32 [n_i, d] in order, so that no N x d array is needed; or a `StoredTable` that has a
            form of its own.
        tower: the trained Keras model: `interact(embedded, first_order)` and `variables`.
        first_order: effective first-order weights float32 [N, 1], or as `table`, or None.
        transform: raw columns to ids, for requests with raw features.
        metadata: JSON-ready facts for `model_card.json`, such as data set, split md5 and metrics.
        examples: `{raw column: values}`, a few rows of the log for the sample requests in
            `assets.extra/requests/` and the warm-up requests; else every value is missing.
        check: answers of the live model; the written ones are compared with them, within 1e-6 for
            float32 and 1e-3 for float16 (1e-2 where the model computes in bfloat16, 2e-3 in float16),
            and the largest difference goes into the model card.
        dtype: how the surviving numbers are stored: `"float32"`, `"float16"`, `"int8"` or `"int4"`. With the
            latter two the matrices of the tower are float16; the arithmetic stays that of the model.
            `"lsq8"` and `"lsq4"` name the form of a table that was rounded in training.
        first_order_dtype: that of the first-order weights, if it is another.
        packed: False stores every number of the table, zeros too: the form to compare with.

    Returns:
        The folder of the new version.

    Raises:
        ValueError: a table of another shape than the schema asks for, or not finite; an unknown
            `dtype`; a transform with other vocabulary sizes.
        RunError: the folder cannot be written, or the answers differ from those of `check`. Nothing
            is left half-written.
    """
    module = build_module(
        schema=schema,
        table=table,
        tower=tower,
        first_order=first_order,
        transform=transform,
        dtype=dtype,
        first_order_dtype=first_order_dtype,
        packed=packed,
    )
    samples = sample_inputs(module, examples)

    def write(draft: Path) -> None:
        signatures = module.signatures()
        tf.saved_model.save(module, str(draft), signatures)
        warmed = write_requests(draft, resolve(folder).name, samples, signatures)
        facts = {
            "format": "savedmodel",
            "warmup_requests": warmed,
            "vocabulary_bytes": vocabulary_bytes(module),
        }
        if check is not None:
            dtypes = {"table": dtype, "first_order": first_order_dtype or dtype}
            answer = saved_model_answer(draft, module.inputs(check.ids))
            facts["check"] = check.compare(answer, "savedmodel", dtypes, resolve(folder))
        card = {**model_card(module, metadata), **facts}
        card["ids"]["outside"] = "the request fails with InvalidArgument, which names the field"
        write_card(card, draft)

    return publish_version(folder, write)
