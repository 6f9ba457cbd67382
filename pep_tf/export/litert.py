"""The same ticket as a `.tflite` file: the packed table and its decoder in LiteRT's own operations."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import RunError
from pep_tf.export.build_module import Table, build_module
from pep_tf.export.check import Check, litert_answer
from pep_tf.export.model_card import model_card, write_card
from pep_tf.export.tower import Interaction
from pep_tf.export.version_folder import publish_version
from pep_tf.paths import resolve

MODEL = "model.tflite"
OUTSIDE = "gather index out of bounds"  # what LiteRT says where an id is outside its field


def export_litert(
    folder: str | Path,
    *,
    schema: FeatureSchema,
    table: Table,
    tower: Interaction,
    first_order: Table | None = None,
    metadata: Mapping[str, Any] | None = None,
    check: Check | None = None,
    dtype: str = "float32",
    first_order_dtype: str | None = None,
) -> Path:
    """Writes `<folder>/<latest + 1>/model.tflite`, which `ai-edge-litert` runs without Flex ops.

    Its signature `ids` takes `ids` int32 [B, F] to `probability` and `logit`, float32 [B], and
    `values` float32 beside them where fields are numbers: standardised, 0 for a missing one. An id
    outside its field makes the invocation fail with `gather index out of bounds`, since LiteRT has
    no assertions.

    Args: as for `export_saved_model`, the tolerance of `check` being 1e-5 for float32. The tower is
        float32 whatever the `dtype`: LiteRT would unpack its matrices on load. It computes in float32
        too, whatever the policies of the model say: `check` then has to hold such answers.

    Returns:
        The folder of the new version.

    Raises:
        ValueError, RunError: as `export_saved_model`; RunError for a tower that LiteRT has no
            operations for.
    """
    module = build_module(
        schema=schema,
        table=table,
        tower=tower,
        first_order=first_order,
        dtype=dtype,
        first_order_dtype=first_order_dtype,
        lite=True,
    )
    if module.tower.precision != "float32":
        raise RunError(
            f"`tower` must leave what it computes in to its layers' dtype policies: LiteRT computes in "
            f"float32. Received: {type(tower).__name__}, whose `interact` casts to "
            f"{module.tower.precision} itself, or has quantized layers. --export_format=savedmodel "
            "takes it as it is."
        )
    content = convert(module, {"ids": module.lite_function()})
    card = {**model_card(module, metadata), "format": "litert"}
    card["ids"]["outside"] = f"the invocation fails with `{OUTSIDE}`, which names no field"
    if check is not None:
        dtypes = {"table": dtype, "first_order": first_order_dtype or dtype}
        answer = litert_answer(content, module.inputs(check.ids))
        card["check"] = check.compare(answer, "litert", dtypes, resolve(folder))

    def write(draft: Path) -> None:
        (draft / MODEL).write_bytes(content)
        write_card(card, draft)

    return publish_version(folder, write)


def convert(module: tf.Module, signatures: Mapping[str, Any]) -> bytes:
    """The flatbuffer of a module; fails rather than fall back to TensorFlow's own kernels."""
    with tempfile.TemporaryDirectory() as folder:
        # From a file, since only there a signature has a name: from memory all are `serving_default`.
        tf.saved_model.save(module, folder, signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signatures)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except ConverterError as error:
            reason = " ".join(str(error).split())[:300]
            raise RunError(
                f"LiteRT has no operations for this model: {reason} ... --export_format=savedmodel takes "
                "it as it is."
            ) from error
