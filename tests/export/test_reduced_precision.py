"""Models that compute in bfloat16 or float16, exported in every form, by the processor's own instructions
and without them: with AMX a tower in bfloat16 rounds in fewer places, and answers otherwise."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.errors import RunError
from pep_tf.export.check import litert_answer
from pep_tf.export.inspect import inspect, main
from pep_tf.export.litert import MODEL
from pep_tf.export.model_card import read_card
from pep_tf.export.precision import in_float32
from pep_tf.layers import PEPEmbedding
from tests import tiny

pytest.importorskip("ai_edge_litert", reason="needs requirements-export.txt")
POLICIES = ["mixed_bfloat16", "mixed_float16"]
MODELS = [("deepfm", "mixed_bfloat16"), ("autoint", "mixed_bfloat16"), ("deepfm", "mixed_float16")]
FORMS = [("savedmodel", "float32"), ("savedmodel", "float16"), ("litert", "float32")]


def trained(name: str, policy: str) -> keras.Model:
    """A model whose answers spread as those of a trained one."""
    model = tiny.model(name, pruning="none", dtype=policy)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return model


def export_all(folder: str) -> None:
    """Exports models in the forms that have a bar, which fails where the answers are not the model's."""
    for name, policy in MODELS:
        model = trained(name, policy)
        for format, dtype in FORMS:
            where = f"{folder}/{name}_{policy}_{format}_{dtype}"
            pep_tf.export(model, where, data=tiny.DATA, format=format, dtype=dtype)


@pytest.mark.parametrize("instructions", ["AVX2", None])
def test_every_form_on_every_processor(tmp_path, instructions):
    program = (
        "import sys; from tests.export.test_reduced_precision import export_all\n"
        "export_all(sys.argv[1])"
    )
    env = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"}
    if instructions:
        env["ONEDNN_MAX_CPU_ISA"] = instructions
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*/1"))) == len(MODELS) * len(FORMS)


@pytest.mark.parametrize("policy", POLICIES)
def test_litert_computes_in_float32(tmp_path, policy):
    model = trained("deepfm", policy)
    version = pep_tf.export(model, tmp_path, data=tiny.DATA, format="litert")
    ids = tiny.DATA.validation.ids.astype(np.int32)
    with in_float32(model):
        exact = tf.sigmoid(model(ids, training=False))[:, 0].numpy()
    rounded = tf.sigmoid(model(ids, training=False))[:, 0].numpy()
    answer = litert_answer((version / MODEL).read_bytes(), {"ids": ids})
    np.testing.assert_allclose(answer, exact, rtol=0, atol=1e-5)
    card = read_card(version)
    assert card["precision"] == "float32"
    assert card["check"]["largest_difference"] <= 1e-5
    assert card["trained_in"]["precision"] == policy.removeprefix("mixed_")
    told = card["trained_in"]["largest_difference"]
    assert told == pytest.approx(np.abs(rounded - exact).max(), rel=0.1)
    assert told > 1e-5


def test_a_saved_model_computes_as_the_model_does(tmp_path, capsys):
    version = pep_tf.export(trained("fm", "mixed_bfloat16"), tmp_path, data=tiny.DATA)
    assert read_card(version)["precision"] == inspect(version)["precision"] == "bfloat16"
    assert "trained_in" not in read_card(version)
    assert main([str(version)]) == 0
    assert "(savedmodel, float32, tower computes in bfloat16)" in capsys.readouterr().out


def test_a_table_may_be_rounded_where_the_tower_is_not(tmp_path):
    """The numbers that are looked up are in the file as they are, and the tower gets them so."""
    table = PEPEmbedding(tiny.ENTRIES // tiny.DIM, 8, pruning="none", dtype="mixed_bfloat16")
    model = tiny.model("fm", embedding=table)
    table.table.assign(np.random.default_rng(0).normal(0, 0.5, table.table.shape))
    card = read_card(pep_tf.export(model, tmp_path / "s", data=tiny.DATA))
    assert card["precision"] == "float32"
    assert 1e-6 < card["check"]["largest_difference"] < 1e-2


class ByHand(pep_tf.models.FM):
    """Casts by itself, which no policy tells."""

    def interact(self, embedded, first_order=None, training=None):
        embedded = tf.cast(tf.cast(embedded, tf.bfloat16), tf.float32)
        return super().interact(embedded, first_order, training=training)


def test_litert_refuses_what_is_cast_by_hand(tmp_path):
    table = PEPEmbedding(tiny.ENTRIES // tiny.DIM, 4, pruning="none", name="embedding")
    model = ByHand(tiny.FIELDS, table)
    model.build()
    with pytest.raises(RunError, match="Received: ByHand, whose `interact` casts to bfloat16"):
        pep_tf.export(model, tmp_path / "lite", data=tiny.DATA, format="litert")
    assert not (tmp_path / "lite").exists()
    version = pep_tf.export(model, tmp_path / "saved", data=tiny.DATA)
    assert read_card(version)["precision"] == "bfloat16"
