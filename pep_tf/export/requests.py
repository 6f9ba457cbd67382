"""Requests to send to a server, made by the export: REST and gRPC samples, and the warm-up file."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.raw import Examples
from pep_tf.export.serving_module import ServingModule

WARMUP = "assets.extra/tf_serving_warmup_requests"
REQUESTS = "assets.extra/requests"
_WARMUP_BATCHES = (1, 32)

Inputs = dict[str, np.ndarray]


def sample_inputs(module: ServingModule, examples: Examples | None = None) -> dict[str, Inputs]:
    """Two rows for each signature: `{signature: {input: array}}`.

    Args:
        module: gives the rows of `ids`, the first and the last id of every field, and the type of
            each raw column.
        examples: `{column: values}`, some rows of the log; else all values are missing
            that may be.
    """
    sizes = np.array(module.schema.sizes, np.int32)[module.schema.column_fields]
    ids = module.inputs(np.stack([np.zeros_like(sizes), sizes - 1]))
    if module.transform is None:
        return {"ids": ids, "serving_default": ids}
    raw = {
        name: np.array(
            list(examples[name]) if examples is not None else [column.blank] * 2,
            object if column.dtype == tf.string else column.dtype.as_numpy_dtype,
        )
        for name, column in module.transform.raw_columns().items()
    }
    return {"ids": ids, "serving_default": raw}


def rest_body(signature: str, inputs: Inputs) -> dict[str, Any]:
    """The body of `POST /v1/models/<name>:predict` in the columnar form."""
    return {
        "signature_name": signature,
        "inputs": {name: _json_values(values) for name, values in inputs.items()},
    }


def rest_answer(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The answer to that: a bare list where there is one output."""
    lists = {name: values.astype(float).round(6).tolist() for name, values in outputs.items()}
    return {"outputs": next(iter(lists.values())) if len(lists) == 1 else lists}


def predict_request(model: str, signature: str, inputs: Inputs) -> Any:
    """A `tensorflow.serving.PredictRequest`.

    Raises:
        ImportError: `tensorflow-serving-api` is not installed.
    """
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(_bytes(values)))
    return request


def write_requests(
    version: Path,
    model: str,
    samples: Mapping[str, Inputs],
    signatures: Mapping[str, Any],
) -> bool:
    """Writes `assets.extra/requests/` and, where the messages are installed, the warm-up file.

    Args:
        version: folder of the version.
        model: name under which it will be served.
        samples: inputs for each signature.
        signatures: the functions that answer them.

    Returns:
        Whether the gRPC samples and the warm-up file could be written.
    """
    folder = version / REQUESTS
    folder.mkdir(parents=True)
    for name, inputs in samples.items():
        outputs = signatures[name](**{k: tf.constant(_bytes(v)) for k, v in inputs.items()})
        answer = rest_answer({key: value.numpy() for key, value in outputs.items()})
        _write_json(folder / f"{name}.json", rest_body(name, inputs))
        _write_json(folder / f"{name}.answer.json", answer)
    try:
        from google.protobuf import text_format
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        return False
    for name, inputs in samples.items():
        text = text_format.MessageToString(predict_request(model, name, inputs))
        (folder / f"{name}.pbtxt").write_text(text, encoding="utf-8")
    with tf.io.TFRecordWriter(str(version / WARMUP)) as writer:
        for name, inputs in samples.items():
            for rows in _WARMUP_BATCHES:
                log = prediction_log_pb2.PredictionLog()
                repeated = {key: np.resize(v, (rows, *v.shape[1:])) for key, v in inputs.items()}
                log.predict_log.request.CopyFrom(predict_request(model, name, repeated))
                writer.write(log.SerializeToString())
    return True


def _bytes(values: np.ndarray) -> np.ndarray | list[Any]:
    if values.dtype != object:
        return values
    return _mapped(lambda value: value.encode() if isinstance(value, str) else value, values)


def _json_values(values: np.ndarray) -> list[Any]:
    return _mapped(_json_value, values) if values.dtype == object else values.tolist()


def _mapped(function: Callable[[Any], Any], values: np.ndarray) -> list[Any]:
    """Applies a function to each text, in lists as deep as the array."""
    return [function(v) if values.ndim == 1 else _mapped(function, v) for v in values]


def _json_value(value: str | bytes) -> str | dict[str, str]:
    """A string, or `{"b64": ...}` for bytes that are no UTF-8."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
