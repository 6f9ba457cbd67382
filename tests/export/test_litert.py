import numpy as np
import pytest
import tensorflow as tf

from pep_tf.export.litert import MODEL, export_litert
from pep_tf.export.model_card import read_card
from tests.export.towers import (
    FIRST_ORDER,
    SCHEMA,
    TABLE,
    SmallTower,
    expected,
    random_ids,
    sparse_table,
)

interpreter = pytest.importorskip(
    "ai_edge_litert.interpreter", reason="needs requirements-export.txt"
)


@pytest.fixture(scope="module")
def tower():
    return SmallTower()


@pytest.fixture(scope="module", params=["float32", "float16", "int8"])
def exported(request, tower, tmp_path_factory):
    folder = export_litert(
        tmp_path_factory.mktemp("lite"),
        schema=SCHEMA,
        table=TABLE,
        first_order=FIRST_ORDER,
        tower=tower,
        dtype=request.param,
    )
    return request.param, folder, interpreter.Interpreter(model_path=str(folder / MODEL))


def test_same_probabilities(exported, tower):
    dtype, folder, loaded = exported
    ids = random_ids(SCHEMA, 257)
    answer = loaded.get_signature_runner()(ids=ids)
    probability, _ = expected(tower, SCHEMA, TABLE, FIRST_ORDER, ids)
    tolerance = {"float32": 1e-5, "float16": 1e-3, "int8": 1e-2}[dtype]
    np.testing.assert_allclose(answer["probability"], probability, rtol=0, atol=tolerance)
    assert read_card(folder)["format"] == "litert"


def test_no_flex_ops(exported):
    names = {details["op_name"] for details in exported[2]._get_ops_details()}
    assert "GATHER" in names
    assert not [name for name in names if "flex" in name.lower() or name == "CUSTOM"]


def test_empty_batch_gives_an_empty_answer(exported):
    answer = exported[2].get_signature_runner()(ids=np.zeros((0, 3), np.int32))
    assert answer["probability"].shape == answer["logit"].shape == (0,)


@pytest.mark.parametrize(
    "ids",
    [
        [[50, 0, 0]],
        [[0, 0, 0], [0, -1, 0]],
        [[0, 0, 2**31 - 1]],
        [[0, 0]],
        [[0], [1]],
        [[0], [0], [0]],
        [[0] * 4],
        [[0] * 6],
    ],
)
def test_bad_ids_fail_and_the_next_request_is_answered(exported, ids):
    run = exported[2].get_signature_runner()
    with pytest.raises(RuntimeError):
        run(ids=np.array(ids, np.int32))
    assert np.isfinite(run(ids=np.zeros((1, 3), np.int32))["logit"]).all()


def test_the_table_stays_packed(tower, tmp_path):
    table = sparse_table(SCHEMA.num_features, 4096, kept=0.02)
    table[:, 512:] = 0

    class Sum(tf.Module):
        def interact(self, embedded, first_order):
            del first_order
            return tf.reduce_sum(embedded, axis=[1, 2])

    folder = export_litert(tmp_path, schema=SCHEMA, table=table, tower=Sum())
    card = read_card(folder)
    assert card["table"]["bytes"] < card["table"]["dense_bytes"] / 20
    assert (folder / MODEL).stat().st_size < card["table"]["bytes"] + 60_000
