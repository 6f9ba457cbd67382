"""The gRPC request of the page on serving, sent to a server made here, gets the answer that the export foretold."""

import json
import pathlib
import re
import subprocess
import sys
from concurrent import futures

import pytest
import tensorflow as tf

import pep_tf

grpc = pytest.importorskip("grpc", reason="needs requirements-export.txt")
apis = pytest.importorskip("tensorflow_serving.apis", reason="needs requirements-export.txt")
service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text("utf-8")


class _Server(service.PredictionServiceServicer):
    """What TF Serving does with a request: the signature that it names, on the tensors it holds."""

    def __init__(self, version):
        self._signatures = tf.saved_model.load(str(version)).signatures

    def Predict(self, request, context):  # noqa: N802 - the service's own name
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        outputs = self._signatures[request.model_spec.signature_name](**inputs)
        response = apis.predict_pb2.PredictResponse()
        for name, value in outputs.items():
            # As the server does, values one by one and not as packed bytes.
            proto = response.outputs[name]
            proto.dtype = value.dtype.as_datatype_enum
            proto.float_val.extend(value.numpy().tolist())
        return response


def test_the_grpc_request_gets_the_answer_that_stands_beside(tmp_path):
    data = pep_tf.data.load("movielens-small")
    sizes = data.schema.size_by_name
    model = pep_tf.build_model("fm", sizes, embedding_dim=4, threshold_init=-4.5)
    version = pep_tf.export(model, tmp_path / "small", data=data)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    service.add_PredictionServiceServicer_to_server(_Server(version), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    (code,) = re.findall(r"<<'END'\n(.*?)\nEND\n", PAGE, re.S)
    requests = version / "assets.extra/requests"
    done = subprocess.run(
        [sys.executable, "-", str(requests / "serving_default.pbtxt")],
        input=code.replace("localhost:8500", f"localhost:{port}"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    server.stop(None)
    assert done.returncode == 0, done.stderr
    answer = json.loads((requests / "serving_default.answer.json").read_text())["outputs"]
    assert json.loads(done.stdout) == pytest.approx(answer, abs=1e-6)
    body = (requests / "serving_default.json").read_text().strip()
    assert body in " ".join(PAGE.split())
