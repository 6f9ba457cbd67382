"""A run made from Python."""

import dataclasses
import json
import shutil

import pytest

from pep_tf import Ticket
from pep_tf.errors import RunError
from pep_tf.experiments.config import Config, make_config
from pep_tf.experiments.dry_run import describe
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.export.inspect import is_whole
from pep_tf.export.model_card import read_card
from pep_tf.training import Silent
from pep_tf.tuning.space import PruningHyperModel, declared
from tests import tiny
from tests.training.interrupted import Diary


def small(**changes) -> Config:
    options = {"model": "deepfm", "embedding_dim": 4, "mlp_widths": [6], "budgets": ["50%"]}
    return make_config("tiny", 200, {**options, "epochs": 1, "prune_epochs": 1, **changes})


def run(folder, config: Config, reporter=None) -> Run:
    return Run(config, tiny.DATA, RunFolder(folder), reporter or Silent())


@pytest.mark.parametrize("world", ["float32", "mixed_float16"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_is_the_configurations(tmp_path, precision, world, dtype_policy):
    dtype_policy(world)  # Keras's global policy
    config = small(precision=precision)
    assert run(tmp_path, config).model("none").compute_dtype == precision
    searched = PruningHyperModel(config, tiny.DATA)
    assert searched.build(declared(searched)).compute_dtype == precision


def test_a_run_in_bfloat16(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs requirements-export.txt")
    diary = Diary()
    rows = run(tmp_path, small(precision="bfloat16", export_format="both"), diary)().rows
    assert [row.stage for row in rows] == ["baseline", "ticket"]
    [path] = (tmp_path / "tickets").glob("*.safetensors")
    assert Ticket.load(path).model().compute_dtype == "bfloat16"
    exports = {p.parent.name: read_card(p)["precision"] for p in tmp_path.glob("export/*/1")}
    assert exports == {
        "baseline": "bfloat16",
        "baseline_litert": "float32",
        "ticket_32": "bfloat16",
        "ticket_32_litert": "float32",
    }
    told = [note for note in diary.notes if "a probability of the tower in bfloat16" in note]
    assert len(told) == 2
    for name in ("ticket_32", "baseline_litert"):
        shutil.rmtree(tmp_path / "export" / name)
    (tmp_path / "export" / "ticket_32_litert" / "1" / "model.tflite").write_bytes(b"TFL3")
    assert run(tmp_path, small(precision="bfloat16", export_format="both"), diary)().rows == rows
    assert all(is_whole(tmp_path / "export" / name) for name in ("ticket_32", "ticket_32_litert"))
    assert any(note.startswith("The export of baseline is gone or") for note in diary.notes)


def test_tickets_are_cut_anew_where_what_stands_beside_them_is_damaged(tmp_path):
    changes = {"model": "fm", "budgets": ["50%", 5], "no_retrain": True, "export_format": "none"}
    changes |= {"embedding_dim": 4, "epochs": 1, "prune_epochs": 1, "export_keys": True}
    config = make_config("tiny", 200, changes)
    rows = run(tmp_path, config)().rows
    keys = json.loads((tmp_path / "keys" / "ticket_5" / "schema.json").read_text())
    assert keys["metadata"]["metrics"]["test_auc"] == rows[-1].test_auc
    for path in (tmp_path / "stages").glob("ticket_*"):
        path.unlink()
    done = tmp_path / "tickets" / "done.json"
    done.write_text("{")
    with pytest.raises(
        RunError, match="done.json is damaged .*delete it, and the tickets are cut anew"
    ):
        run(tmp_path, config)()
    done.unlink()
    again = run(tmp_path, config)().rows
    assert [(row.budget, row.test_auc) for row in again] == [
        (row.budget, row.test_auc) for row in rows
    ]


def test_a_dry_run_measures_the_precision(monkeypatch):
    made = []
    from pep_tf.experiments import dry_run

    monkeypatch.setattr(
        dry_run, "build_model", lambda *a, **k: made.append(k) or tiny.build_model(*a, **k)
    )
    assert "ms per step" in describe(small(precision="bfloat16"), tiny.DATA)
    assert made[0]["dtype"] == "mixed_bfloat16"


def test_rows_at_the_cap_of_epochs_go_on_with_more_of_them(tmp_path):
    def ended(folder, epochs):
        changes = {"model": "fm", "method": "random", "no_retrain": True, "export_format": "none"}
        changes |= {"epochs": epochs, "patience": 9, "checkpoint_every": 7, "batch_size": 32}
        changes |= {"embedding_dim": 4, "budgets": ["50%"]}
        config, own = make_config("tiny", 200, changes), RunFolder(folder)
        own.open(dataclasses.asdict(config), tiny.DATA, resume=own.begun)
        diary = Diary()
        row = Run(config, tiny.DATA, own, diary)().rows[0]
        assert row.capped
        assert (row.epochs, own.checkpoint("baseline").exists()) == (epochs, True)
        return row

    ended(tmp_path / "one", 1)
    further, straight = ended(tmp_path / "one", 2), ended(tmp_path / "other", 2)
    assert (further.test_auc, further.best_epoch) == (straight.test_auc, straight.best_epoch)
    with pytest.raises(RunError, match="epochs"):
        ended(tmp_path / "one", 1)
