"""Every model with a table goes through a whole run: baseline, ticket, exports, page."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.experiments.config import load_study, make_config
from pep_tf.experiments.dry_run import describe
from pep_tf.experiments.report import write_report
from pep_tf.experiments.report.drawing import Sheet
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.models import MODELS, models_with
from pep_tf.training import Silent
from tests import tiny

IDS = tiny.DATA.test.ids[:20]


def config_of(name: str, **changes):
    small = {
        "model": name,
        "embedding_dim": 4,
        "threshold_init": -4.0,
        "budgets": ("30%",),
        "batch_size": 64,
        "learning_rate": 0.02,
        "epochs": 1,
        "prune_epochs": 1,
    }
    return make_config("tiny", tiny.DATA.train.num_rows, {**small, **changes})


@pytest.mark.parametrize("name", models_with("embedding"))
def test_a_whole_run(name, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="needs requirements-export.txt")
    config = config_of(name, export_format="both")
    folder = RunFolder(tmp_path / "run")
    folder.open(dataclasses.asdict(config), tiny.DATA, resume=False)
    baseline, ticket = Run(config, tiny.DATA, folder, Silent())().rows
    assert (baseline.model, ticket.stage, ticket.nnz) == (name, "ticket", 19)

    path = folder.path / "tickets" / "ticket_19.safetensors"
    kept = pep_tf.Ticket.load(path)
    assert type(kept.model()) is MODELS[name]
    model = kept.model("trained")
    assert model.embedding.nnz() == 19

    served = tf.saved_model.load(str(folder.export / "ticket_19" / "1")).signatures["ids"]
    answer = served(ids=tf.constant(IDS, tf.int32))["probability"].numpy()
    assert np.ptp(answer) > 0
    assert list(folder.export.glob("ticket_19_litert/1/model.tflite"))

    monkeypatch.setattr(Sheet, "draw", lambda *_: [])  # figures are those of any model
    page = write_report([folder.path]).read_text("utf-8")
    assert f"{MODELS[name].__name__} on tiny" in page


@pytest.mark.parametrize("name", models_with("embedding"))
def test_in_mixed_precision(name, tmp_path, dtype_policy):
    dtype_policy("mixed_bfloat16")
    config = config_of(name, precision="bfloat16", no_retrain=True, export_format="none")
    folder = RunFolder(tmp_path / "run")
    folder.open(dataclasses.asdict(config), tiny.DATA, resume=False)
    _, ticket = Run(config, tiny.DATA, folder, Silent())().rows
    assert ticket.nnz == 19
    model = pep_tf.Ticket.load(folder.path / "tickets" / "ticket_19.safetensors").model()
    tower = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    assert {layer.compute_dtype for layer in tower} <= {"bfloat16"}


STUDY = """
import keras
from pep_tf.layers import FactorizationMachine
from pep_tf.models import CTRModel, register

@register("pairs")
@keras.saving.register_keras_serializable(package="study")
class Pairs(CTRModel):
    def __init__(self, fields, embedding, first_order=None, **kwargs):
        super().__init__(fields, embedding, None, **kwargs)
        self.pairs = FactorizationMachine(dtype=self.dtype_policy, name="pairs")

    def build_interaction(self, embedded_shape):
        self.pairs.build(embedded_shape)

    def interact(self, embedded, first_order=None, training=None):
        return self.pairs(embedded)

CONFIG = {"model": "pairs"}
"""


def test_a_model_in_a_study_file(tmp_path):
    study = tmp_path / "study.py"
    study.write_text(STUDY, "utf-8")
    try:
        config = config_of(load_study(study)["model"], no_retrain=True, export_format="none")
        folder = RunFolder(tmp_path / "run")
        folder.open(dataclasses.asdict(config), tiny.DATA, resume=False)
        baseline, ticket = Run(config, tiny.DATA, folder, Silent())().rows
        kept = pep_tf.Ticket.load(folder.path / "tickets" / "ticket_19.safetensors")
        assert type(kept.model()) is MODELS["pairs"]
        assert (baseline.model, baseline.tower, ticket.nnz) == ("pairs", 0, 19)
    finally:
        del MODELS["pairs"]


def test_what_a_run_would_take():
    assert "ms per step" in describe(config_of("dcn", cross_layers=1, cross_rank=2), tiny.DATA)
