"""A saved model and a ticket, written for serving by the command."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.experiments.export import main
from tests import tiny
from tests.export.test_keys import ticket_on


@pytest.fixture
def model(tmp_path):
    """A model of the plain Keras kind, and the file that it was saved to."""
    ids = keras.Input((2,), dtype="int32", name="item")
    rows = pep_tf.PEPEmbedding(30, 4, threshold_init=-4.0, name="table")(ids)
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(rows))
    made = keras.Model(ids, outputs)
    made.save(tmp_path / "model.keras")
    return made, tmp_path / "model.keras"


def test_a_saved_model_answers_as_it_did(model, tmp_path, capsys):
    made, path = model
    batch = {"item": np.array([[0, 29], [7, 7]], np.int32)}
    np.savez(tmp_path / "batch.npz", **batch)
    flags = [
        f"--out={tmp_path / 'served'}",
        "--dtype=float16",
        f"--examples={tmp_path / 'batch.npz'}",
    ]
    assert main([str(path), *flags]) == 0
    out = capsys.readouterr().out
    assert "total" in out
    served = tf.saved_model.load(str(tmp_path / "served" / "1")).signatures["serving_default"]
    (answer,) = served(item=tf.constant(batch["item"])).values()
    np.testing.assert_allclose(answer, made(batch["item"]), atol=1e-3)
    assert main([str(path), *flags]) == 0  # the next version
    assert (tmp_path / "served" / "2").exists()
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4")
    assert main([str(path), flags[0], f"--examples={tmp_path / 'bad.npz'}"]) == 1
    assert "bad.npz cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.keras", None, "there is no such file"),
        ("model.keras", b"PK", "cannot be read as a Keras model"),
        ("model.keras", b"PK\5\6" + bytes(18), "cannot be read as a Keras model"),
        ("ticket.safetensors", b"PK", "damaged"),
    ],
)
def test_a_file_that_is_none_is_one_line(name, content, told, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main([str(tmp_path / name), f"--out={tmp_path / 'served'}"]) == 1
    *_, err = capsys.readouterr().err.splitlines()
    assert err.startswith("error: ")
    assert told in err
    assert not (tmp_path / "served").exists()


def test_a_ticket_as_it_was_cut(tmp_path, capsys):
    ticket = ticket_on(tiny.DATA, 21)
    path = tmp_path / "ticket_21.safetensors"
    ticket.save(path)
    assert main([str(path), f"--out={tmp_path / 'served'}"]) == 0
    assert "it has not been retrained" in capsys.readouterr().err
    served = tf.saved_model.load(str(tmp_path / "served" / "1")).signatures["ids"]
    ids = tiny.DATA.test.ids[:9]
    answer = served(ids=tf.constant(ids, tf.int32))["logit"]
    np.testing.assert_allclose(answer, ticket.model("trained")(ids)[:, 0], atol=1e-6)
    for table in ticket.tables.values():  # as where thresholds pass a budget between two counts
        ticket.trained[table.weight][:] = 0
    ticket.save(path)
    assert main([str(path), f"--out={tmp_path / 'served'}"]) == 1
    assert "all 21 entries that it keeps were 0 when it was cut" in capsys.readouterr().err
    with mock.patch("absl.logging.warning") as warn:
        ticket.retrain(tiny.DATA, init="trained", settings=tiny.settings(epochs=1))
    assert "may never leave 0" in warn.call_args[0][0].replace("%d", "")
