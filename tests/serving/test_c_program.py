"""A C program, the C library and nothing else: what TF Serving has when it answers."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data import load
from pep_tf.data.raw import UNKNOWN
from pep_tf.export.saved_model import export_saved_model
from tests.data.clicklogs.rows_for_tests import REAL_AVAZU, REAL_CRITEO
from tests.export.towers import (
    DIM,
    FIRST_ORDER,
    SCHEMA,
    TABLE,
    BucketTransform,
    SmallTower,
    expected,
    random_ids,
    sparse_table,
)

SOURCE = Path(__file__).with_name("predict.c")
INVALID_ARGUMENT = 3


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (gcc or cc)")
    # TensorFlow's library to build against, by default that of the wheel that is installed.
    library = os.environ.get("PEP_TF_WHEEL", tf.sysconfig.get_lib())
    if not (Path(library) / "libtensorflow_cc.so.2").exists():
        pytest.skip(f"this TensorFlow wheel has no libtensorflow_cc.so.2 in {library}")
    binary = tmp_path_factory.mktemp("program") / "predict"
    command = [compiler, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
    command += [f"-I{library}/include", str(SOURCE), "-o", str(binary), f"-L{library}"]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    command += [f"-Wl,-rpath,{library}"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return binary


@pytest.fixture(scope="module")
def tower():
    return SmallTower()


@pytest.fixture(scope="module")
def folder(tower, tmp_path_factory):
    return export_saved_model(
        tmp_path_factory.mktemp("export"),
        schema=SCHEMA,
        table=TABLE,
        first_order=FIRST_ORDER,
        tower=tower,
        transform=BucketTransform(),
    )


def ask(program, folder, signature, request: bytes) -> tuple[int, list[list[bytes]]]:
    """Exit code, and the lines of the answer split at tabs."""
    run = subprocess.run(
        [program, folder, signature],
        input=request,
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=300,
    )
    assert run.returncode in (0, 2), run.stderr.decode()
    return run.returncode, [line.split(b"\t") for line in run.stdout.splitlines()]


def line(name: str, values) -> bytes:
    parts = [v if isinstance(v, bytes) else str(v).encode() for v in values]
    return b"\t".join([name.encode(), *parts]) + b"\n"


def test_ids_and_refusals_on_one_session(program, folder, tower):
    ids = random_ids(SCHEMA, 40)
    good = line("ids", ids.ravel())
    bad = [
        line("ids", [0, 3, 0]),
        line("ids", [-1, 0, 0]),
        line("ids", [0, 0, 2**31 - 1]),
        line("ids[1,1]", [0]),
        line("ids[2,1]", [0, 1]),
        line("ids[1,6]", [0] * 6),
        line("ids[3]", [0] * 3),
        line("ids[1,1,3]", [0] * 3),
    ]
    requests = [good, line("ids", []), *bad, good]
    code, answers = ask(program, folder, "ids", b"\n".join(requests))
    assert code == 2
    assert answers[2:4] == [[b"logit"], [b"probability"]]
    assert answers[4:-2] == [[b"refused", str(INVALID_ARGUMENT).encode()]] * len(bad)
    probability, logit = expected(tower, SCHEMA, TABLE, FIRST_ORDER, ids)
    for first in (0, len(answers) - 2):  # A refusal leaves the session as it was.
        assert [row[0] for row in answers[first : first + 2]] == [b"logit", b"probability"]
        np.testing.assert_allclose(np.float32(answers[first][1:]), logit, rtol=0, atol=5e-6)
        np.testing.assert_allclose(
            np.float32(answers[first + 1][1:]), probability, rtol=0, atol=1e-6
        )


def test_raw_features(program, folder, tower):
    raw = {
        "user": [b"ann", b"", b"\xff\xfe not UTF-8", b"x" * 5000],
        "device": [b"phone", b"tv", b"", b"phone"],
        "hour": [3, 23, -(2**63), 2**63 - 1],
    }
    request = b"".join(line(name, values) for name, values in raw.items())
    uneven = line("user", [b"a"]) + line("device", [b"b", b"c"]) + line("hour", [1])
    code, answers = ask(program, folder, "serving_default", request + b"\n" + uneven)
    transformed = BucketTransform()({name: tf.constant(raw[name]) for name in raw}).numpy()
    probability = expected(tower, SCHEMA, TABLE, FIRST_ORDER, transformed)[0]
    assert answers[0][0] == b"probability"
    np.testing.assert_allclose(np.float32(answers[0][1:]), probability, rtol=0, atol=1e-6)
    assert code == 2
    assert answers[1] == [b"refused", str(INVALID_ARGUMENT).encode()]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-6), ("float16", 1e-3), ("int8", 1e-2)]
)
def test_movielens(program, tmp_path, dtype, tolerance):
    """Raw features and ids against the model in memory, which knows nothing of the export."""
    data = load("movielens-small")
    schema = data.schema
    table = sparse_table(schema.num_features, DIM, kept=0.1)
    tower = SmallTower(schema.num_fields, DIM)
    version = export_saved_model(
        tmp_path, schema=schema, table=table, tower=tower, transform=data.transform, dtype=dtype
    )

    def in_memory(ids: np.ndarray) -> np.ndarray:
        known = (ids != UNKNOWN)[:, :, np.newaxis]  # what is unknown adds nothing
        embedded = np.where(known, table[np.maximum(ids, 0) + schema.offsets], 0)
        return tf.sigmoid(tower.interact(tf.constant(embedded), None)).numpy()

    raw = {name: values.tolist() for name, values in data.examples.items()}
    raw["genres"] = [b"Drama", "\u017dánr".encode()]
    request = b"".join(
        line(name, [v.encode() if isinstance(v, str) else v for v in values])
        for name, values in raw.items()
    )
    code, answers = ask(program, version, "serving_default", request)
    assert code == 0
    types = data.transform.raw_columns()
    inputs = {name: tf.constant(values, types[name].dtype) for name, values in raw.items()}
    exact = in_memory(data.transform(inputs).numpy())
    np.testing.assert_allclose(np.float32(answers[0][1:]), exact, rtol=0, atol=tolerance)

    ids = next(iter(data.test.batches(1024)))[0].numpy()
    code, answers = ask(program, version, "ids", line("ids", ids.ravel()))
    assert code == 0
    assert answers[1][0] == b"probability"
    np.testing.assert_allclose(np.float32(answers[1][1:]), in_memory(ids), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 1e-3)])
@pytest.mark.parametrize("name", ["criteo", "avazu"])
def test_rows_of_a_click_log(program, tmp_path, name, dtype, tolerance):
    path = {"criteo": REAL_CRITEO, "avazu": REAL_AVAZU}[name]
    if not path.exists():
        pytest.skip(f"{path} is absent")
    data = load(name, data_dir=path)
    schema = data.schema
    table = sparse_table(schema.num_features, DIM, kept=0.1)
    weights = table.any(axis=1, keepdims=True) * np.float32(0.1)
    tower = SmallTower(schema.num_fields, DIM)
    version = export_saved_model(
        tmp_path,
        schema=schema,
        table=table,
        first_order=weights,
        tower=tower,
        transform=data.transform,
        dtype=dtype,
    )
    request = b"".join(line(column, values) for column, values in data.examples.items())
    code, answers = ask(program, version, "serving_default", request)
    assert code == 0
    ids = data.transform({n: tf.constant(v) for n, v in data.examples.items()}).numpy()
    exact = expected(tower, schema, table, weights, ids)[0]
    np.testing.assert_allclose(np.float32(answers[0][1:]), exact, rtol=0, atol=tolerance)
