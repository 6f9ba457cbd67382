"""The same ticket as a `.tflite` file: the packed table and its decoder in LiteRT's own operations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from pep_tf.data.schema import FeatureSchema
from pep_tf.export.model_card import model_card, write_card
from pep_tf.export.saved_model import Rows, build_module
from pep_tf.export.serving_module import ServingModule
from pep_tf.export.tower import Interaction
from pep_tf.export.version_folder import publish_version

LITERT_DTYPES = ("float32", "int8")
MODEL = "model.tflite"


def export_litert(
    folder: str | Path,
    *,
    schema: FeatureSchema,
    table: Rows,
    tower: Interaction,
    first_order: Rows | None = None,
    metadata: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> Path:
    """Writes `<folder>/<latest + 1>/model.tflite`, which `ai-edge-litert` runs without Flex ops.

    Its signature takes `ids` int32 [B, F] to `probability` and `logit`, float32 [B]. An id outside
    its field makes the invocation fail (a lookup out of bounds), since LiteRT has no assertions.

    Args: as for `export_saved_model`. `dtype` is `"float32"` or `"int8"`; LiteRT has no lookup in
        float16, and unpacking to float32 on load would lose what is won. Vectors and matrices of
        the tower are float32.

    Returns:
        The folder of the new version.

    Raises:
        ValueError: as `export_saved_model`, and for a `dtype` of float16.
        RunError: the folder cannot be written. Nothing is left half-written.
    """
    if dtype not in LITERT_DTYPES:
        raise ValueError(f"`dtype` must be one of {list(LITERT_DTYPES)}. Received: {dtype!r}")
    module = build_module(
        schema=schema,
        table=table,
        tower=tower,
        first_order=first_order,
        dtype=dtype,
        tower_dtype="float32",
    )
    content = convert(module)
    card = {**model_card(schema, module, dtype, metadata), "format": "litert"}

    def write(draft: Path) -> None:
        (draft / MODEL).write_bytes(content)
        write_card(card, draft)

    return publish_version(folder, write)


def convert(module: ServingModule) -> bytes:
    """The flatbuffer of a module; fails rather than fall back to TensorFlow's own kernels."""
    function = module.lite_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()
