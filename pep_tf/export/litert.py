"""The same ticket as a `.tflite` file: the packed table and its decoder in LiteRT's own operations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from pep_tf.data.schema import FeatureSchema
from pep_tf.export.build_module import Rows, build_module
from pep_tf.export.check import Check, litert_answer
from pep_tf.export.model_card import model_card, write_card
from pep_tf.export.serving_module import ServingModule
from pep_tf.export.tower import Interaction
from pep_tf.export.version_folder import publish_version
from pep_tf.paths import resolve

MODEL = "model.tflite"


def export_litert(
    folder: str | Path,
    *,
    schema: FeatureSchema,
    table: Rows,
    tower: Interaction,
    first_order: Rows | None = None,
    metadata: Mapping[str, Any] | None = None,
    check: Check | None = None,
    dtype: str = "float32",
) -> Path:
    """Writes `<folder>/<latest + 1>/model.tflite`, which `ai-edge-litert` runs without Flex ops.

    Its signature takes `ids` int32 [B, F] to `probability` and `logit`, float32 [B]. An id outside
    its field makes the invocation fail (a lookup out of bounds), since LiteRT has no assertions.

    Args: as for `export_saved_model`, the tolerance of `check` being 1e-5 for float32. The tower is
        float32 whatever the `dtype`: LiteRT would unpack its matrices on load.

    Returns:
        The folder of the new version.

    Raises:
        ValueError, RunError: as `export_saved_model`.
    """
    module = build_module(
        schema=schema,
        table=table,
        tower=tower,
        first_order=first_order,
        dtype=dtype,
        tower_dtype="float32",
    )
    content = convert(module)
    card = {**model_card(module, metadata), "format": "litert"}
    if check is not None:
        answer = litert_answer(content, check.ids)
        card["check"] = check.compare(answer, "litert", dtype, resolve(folder))

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
