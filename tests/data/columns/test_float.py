"""The kind `float`: a number beside the ids, in training, in every model and in what is served."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.data import CTRData, FeatureSchema, from_dataframe
from pep_tf.data.dataset import ArraySplit
from pep_tf.errors import DataError
from pep_tf.export.check import litert_answer
from tests.data.columns.test_from_dataframe import all_ids

PRICES = [3.0, 5.0, np.nan, -1e6, 5.5, 4.0, 2.5, 80.0, 0.0, -0.0]


def table() -> pd.DataFrame:
    rows = np.arange(60)
    return pd.DataFrame(
        {"user": rows % 7, "price": np.resize(PRICES, 60), "clicked": (rows + rows // 10) % 2}
    )


def data_of(frame: pd.DataFrame, **more: str) -> CTRData:
    names = ["train"] * 40 + ["validation", "test"] * 10
    kinds = {"price": "float", "user": "vocabulary", **more}
    return from_dataframe(frame, "clicked", kinds, split=names)


def numbers(data: CTRData, rows: int) -> np.ndarray:
    return np.ascontiguousarray(all_ids(data, rows)[:, 0]).view(np.float32)


def test_a_number_is_standardised_by_the_training_rows_and_a_missing_one_is_0():
    frame = table()
    frame.loc[59, "price"] = 1e300
    values = numbers(data_of(frame), 60)
    train = frame["price"][:40].to_numpy()
    expected = np.clip(frame["price"], np.nanmin(train), np.nanmax(train))
    expected = (expected - np.nanmean(train)) / np.nanstd(train)
    np.testing.assert_allclose(values, expected.fillna(0.0), rtol=1e-6)
    assert (
        values.tobytes() == numbers(data_of(frame.assign(price=frame["price"] * 2)), 60).tobytes()
    )


def test_a_factorization_machine_takes_the_number_as_its_formula_has_it():
    data = data_of(table())
    assert data.schema.size_by_name == {"price": "float", "user": 9}
    model = pep_tf.build_model("fm", data.schema.size_by_name, embedding_dim=4, pruning="none")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    v, w = model.embedding(np.arange(10)), model.first_order(np.arange(10))[:, 0]
    x, user = numbers(data, 60), all_ids(data, 60)[:, 1]
    expected = model.bias + x * w[0] + tf.gather(w, 1 + user)
    expected += x * tf.reduce_sum(v[0] * tf.gather(v, 1 + user), axis=1)
    np.testing.assert_allclose(model(all_ids(data, 60))[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_what_serves_ids_takes_the_numbers_beside_them(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs requirements-export.txt")
    data = data_of(table().assign(tags=np.resize(["hot|sweet", "cold", ""], 60)), tags="multi:|")
    model = pep_tf.build_model("fm", data.schema.size_by_name, embedding_dim=2, threshold_init=-3.0)
    ids, values = all_ids(data, 60)[:, 1:], numbers(data, 60)[:, None]
    expected = tf.sigmoid(model(all_ids(data, 60)))[:, 0]
    served = tf.saved_model.load(pep_tf.export(model, tmp_path / "model", data=data))
    by_ids = served.signatures["ids"]
    answer = by_ids(ids=tf.constant(ids), values=tf.constant(values))["probability"]
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`values` finite.*price"):
        by_ids(ids=tf.constant(ids[:1]), values=tf.constant([[np.nan]], tf.float32))
    with pytest.raises(tf.errors.InvalidArgumentError):
        by_ids(ids=tf.constant(all_ids(data, 60)), values=tf.constant(values))
    lite = pep_tf.export(model, tmp_path / "lite", data=data, format="litert") / "model.tflite"
    answer = litert_answer(lite.read_bytes(), {"ids": ids, "values": values})
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
    with pytest.raises(RuntimeError, match="gather index out of bounds"):
        litert_answer(lite.read_bytes(), {"ids": ids, "values": values * np.float32("nan")})


@pytest.mark.parametrize("bits", [7, np.float32("inf").view(np.int32)])
def test_ids_that_are_no_bits_of_a_number_are_refused(bits):
    schema = FeatureSchema.of({"price": "float", "user": 3})
    rows = np.full((4, 2), [bits, 1], np.int32)
    splits = [ArraySplit(rows, np.array([0, 1, 0, 1]), np.arange(4))] * 3
    with pytest.raises(
        DataError, match="`train` must hold the bits of finite float32 in field 'pr"
    ):
        CTRData("mine", schema, *splits)


def test_a_model_must_have_ids():
    with pytest.raises(DataError, match="must have a field of ids. Received: nothing but numbers"):
        FeatureSchema.of({"price": "float"})
