import json

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.export.model_card import read_card
from pep_tf.export.requests import REQUESTS, WARMUP, rest_body
from pep_tf.export.saved_model import export_saved_model
from tests.export.towers import SCHEMA, TABLE, BucketTransform, SmallTower

EXAMPLES = {"user": ["ann", b"\xff"], "device": ["tv", ""], "hour": [3, 25]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export_saved_model(
        tmp_path_factory.mktemp("export") / "clicks",
        schema=SCHEMA,
        table=TABLE,
        tower=SmallTower(),
        transform=BucketTransform(),
        examples=EXAMPLES,
    )


def answer_of(loaded, name, inputs):
    """What a server answers: outputs by name."""
    return {k: v.numpy() for k, v in loaded.signatures[name](**inputs).items()}


def from_json(spec, value):
    decode = {"b64": lambda text: np.frombuffer(__import__("base64").b64decode(text), np.uint8)}
    if spec.dtype == tf.string:
        value = [decode["b64"](v["b64"]).tobytes() if isinstance(v, dict) else v for v in value]
    return tf.constant(value, spec.dtype)


@pytest.mark.parametrize("name", ["ids", "serving_default"])
def test_rest_bodies_fit_the_signature_and_get_the_answer_that_stands_beside(folder, name):
    body = json.loads((folder / REQUESTS / f"{name}.json").read_text())
    stored = json.loads((folder / REQUESTS / f"{name}.answer.json").read_text())["outputs"]
    loaded = tf.saved_model.load(str(folder))
    specs = loaded.signatures[name].structured_input_signature[1]
    assert body["signature_name"] == name
    assert body["inputs"].keys() == specs.keys()
    inputs = {key: from_json(specs[key], value) for key, value in body["inputs"].items()}
    answer = answer_of(loaded, name, inputs)
    stored = stored if isinstance(stored, dict) else {"probability": stored}
    assert stored.keys() == answer.keys()
    for key, values in stored.items():
        np.testing.assert_allclose(values, answer[key], rtol=0, atol=1e-6)


def test_bytes_that_are_no_text_travel_as_base64():
    body = rest_body("serving_default", {"user": np.array(["ann", b"\xff", b"tv"], object)})
    assert body["inputs"] == {"user": ["ann", {"b64": "/w=="}, "tv"]}


def test_warm_up_and_grpc_requests_run_on_the_signatures(folder):
    pytest.importorskip("tensorflow_serving", reason="needs requirements-export.txt")
    from google.protobuf import text_format
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    assert read_card(folder)["warmup_requests"] is True
    loaded = tf.saved_model.load(str(folder))
    requests = []
    for record in tf.data.TFRecordDataset(str(folder / WARMUP)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        requests.append(log.predict_log.request)
    for name in ("ids", "serving_default"):
        text = (folder / REQUESTS / f"{name}.pbtxt").read_text()
        requests.append(text_format.Parse(text, predict_pb2.PredictRequest()))
    rows = []
    for request in requests:
        assert request.model_spec.name == "clicks"
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        rows.append(
            len(answer_of(loaded, request.model_spec.signature_name, inputs)["probability"])
        )
    assert rows == [1, 32, 1, 32, 2, 2]
