"""Any Keras model for serving: a SavedModel or a `.tflite` whose pruned tables take few bytes."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.errors import ModelError, RunError
from pep_tf.export.check import litert_answers, require_close
from pep_tf.export.litert import MODEL, convert
from pep_tf.export.model_card import describe, tensor_bytes, versions, write_card
from pep_tf.export.model_inputs import ModelInputs, Named
from pep_tf.export.pack_model import packed, tables_of
from pep_tf.export.precision import graph_precision, in_float32
from pep_tf.export.requests import write_requests
from pep_tf.export.version_folder import publish_version
from pep_tf.layers import PackedEmbedding
from pep_tf.paths import resolve
from pep_tf.tables.packed.values import StoredAs

SIGNATURE = "serving_default"


def export_any(
    model: keras.Model,
    folder: str | Path,
    *,
    examples: Any = None,
    dtype: StoredAs = "float32",
    format: str = "savedmodel",
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the next version of any Keras model with embeddings of this package.

    Arguments, returns and errors are those of `pep_tf.export`.
    """
    with in_float32(model) if format == "litert" else contextlib.nullcontext():
        small = packed(model, dtype)
        inputs = ModelInputs.of(model, examples)
        module = ModelModule(small, inputs)
        live = _live(model, inputs)
    if not np.isfinite(live).all():
        raise RunError("`model` must answer with finite numbers. Received: NaN or infinity.")
    rows = len(next(iter(inputs.batch.values())))
    signatures = {SIGNATURE: module.function}
    content = convert(module, signatures) if format == "litert" else b""

    def write(draft: Path) -> None:
        card = {
            **_card(module, small, inputs),
            "format": format,
            "export_dtype": dtype,
            **(metadata or {}),
        }
        if format == "litert":
            (draft / MODEL).write_bytes(content)
            answers = litert_answers(content, SIGNATURE, _arrays(inputs.batch))
        else:
            tf.saved_model.save(module, str(draft), signatures)
            loaded = tf.saved_model.load(str(draft)).signatures[SIGNATURE]
            answers = loaded(**inputs.batch)
            samples = {SIGNATURE: {k: v[:2] for k, v in _arrays(inputs.batch).items()}}
            if not any(name.endswith("_row_splits") for name in inputs.specs):
                card["warmup_requests"] = write_requests(
                    draft, resolve(folder).name, samples, signatures
                )
        difference = float(np.abs(_flat(answers) - live).max(initial=0))
        require_close(difference, module.precision, format, dtype, resolve(folder))
        card["check"] = {"rows": rows, "largest_difference": difference}
        write_card(card, draft)

    return publish_version(folder, write)


def _live(model: keras.Model, inputs: ModelInputs) -> np.ndarray:
    """What the model itself answers to the examples."""
    if not any(len(value) for value in _arrays(inputs.batch).values()):
        raise ModelError("`examples` must have a row or more, to check the answers on. Received: 0")
    try:
        return _flat(_by_name(model(inputs.restored(inputs.batch), training=False)))
    except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
        told = str(error).split("Arguments received")[0]
        told = " ".join(told.replace("\x1b[1m", "").replace("\x1b[0m", "").split())
        raise ModelError(f"`examples` must be inputs that the model takes: {told}") from error


class ModelModule(tf.Module):
    """A packed model as a `tf.Module`, so that each variable is saved once.

    Args:
        model: as `packed` made it; only what its answers depend on is saved.
        inputs: see `ModelInputs`.

    Attributes:
        function: inputs by name to outputs by name.
        precision: what it computes in, see `precision_of`.
    """

    def __init__(self, model: keras.Model, inputs: ModelInputs) -> None:
        super().__init__(name="model")
        answer = tf.function(
            lambda **named: _by_name(model(inputs.restored(named), training=False)), autograph=False
        )
        self.function = answer.get_concrete_function(**inputs.specs)
        self.precision = graph_precision(self.function.graph)
        self.numbers = list(self.function.graph.variables)
        # For example the table of a StringLookup, which a concrete function does not list.
        self.resources = _resources(model)


def _card(module: ModelModule, model: keras.Model, inputs: ModelInputs) -> dict[str, Any]:
    """Facts of a packed model for its card."""
    tables = {k: x for k, x in tables_of(model).items() if isinstance(x, PackedEmbedding)}
    stored = {id(w.value) for x in tables.values() for w in x.stored.values()}
    others = [v for v in module.numbers if id(v) not in stored]
    return {
        "inputs": {name: _told(spec) for name, spec in inputs.specs.items()},
        "outputs": {name: _told(x) for name, x in module.function.structured_outputs.items()},
        "precision": module.precision,
        "tables": {key: describe(layer.stored_table()) for key, layer in tables.items()},
        "tower_bytes": sum(map(tensor_bytes, others)),
        "tower_bytes_float32": sum(4 * v.shape.num_elements() for v in others),
        "vocabulary_bytes": 0,
        "versions": versions(),
    }


def _resources(model: keras.Model) -> list[Any]:
    """Lookup tables and the like of a model's layers."""
    found: dict[int, Any] = {}
    for layer in model._flatten_layers():
        for value in tf.train.TrackableView(layer).descendants():
            if isinstance(value, tf.saved_model.experimental.TrackableResource):
                found[id(value)] = value
    return list(found.values())


def _by_name(outputs: Any) -> dict[str, tf.Tensor]:
    """Outputs by their keys, else `output_0` and so on, as `keras.Model.export` names them."""
    if isinstance(outputs, Mapping):
        return {str(name): _identity(value) for name, value in outputs.items()}
    return {f"output_{i}": _identity(x) for i, x in enumerate(keras.tree.flatten(outputs))}


def _identity(value: Any) -> tf.Tensor:
    return tf.identity(tf.convert_to_tensor(value))


def _told(tensor: Any) -> dict[str, Any]:
    return {"dtype": tensor.dtype.name, "shape": tensor.shape.as_list()}


def _arrays(named: Named) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in named.items()}


def _flat(answers: Mapping[str, Any]) -> np.ndarray:
    """All answers in one row; an output whose largest number is above 1 is divided by it."""
    parts = [np.asarray(answers[name], np.float32).ravel() for name in sorted(answers)]
    return np.concatenate([part / max(1.0, np.abs(part).max(initial=0)) for part in parts])
