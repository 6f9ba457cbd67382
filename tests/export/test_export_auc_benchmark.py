"""`benchmarks.export_auc` on a run of the small data set, to which the main job falls back."""

import dataclasses
import json

import pytest

from benchmarks import export_auc
from pep_tf.data import load
from pep_tf.experiments.config import make_config
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training import Silent


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    data = load("movielens-small")
    changes = {"embedding_dim": 2, "epochs": 1, "prune_epochs": 1, "budgets": ("20%",)}
    changes |= {"no_retrain": True, "export_format": "none"}
    config = make_config(data.name, data.train.num_rows, changes)
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "fallback")
    folder.open(dataclasses.asdict(config), data, resume=False)
    Run(config, data, folder, Silent())()
    return folder.path


def test_a_fallback_run(run_dir, capsys):
    pytest.importorskip("ai_edge_litert", reason="needs requirements-export.txt")
    assert export_auc.main([f"--run_dir={run_dir}", "--epochs=1"]) == 0
    report = json.loads(capsys.readouterr().out)
    [ticket] = (facts for name, facts in report.items() if name.startswith("ticket_"))
    assert report["dataset"] == "movielens-small"
    assert 0.5 < ticket["savedmodel_float32"]["test_auc"] < 1
    for form in ("savedmodel_float16", "savedmodel_int8", "litert_float32", "litert_int8"):
        assert abs(ticket[form]["auc_minus_float32"]) < 5e-4
    assert ticket["savedmodel_int4"]["test_auc"] == pytest.approx(ticket["litert_int4"]["test_auc"])


@pytest.mark.parametrize("wrong", ["data_dir", "no tickets", "no run"])
def test_a_mistake_is_one_line(run_dir, tmp_path, capsys, wrong):
    flags = [f"--run_dir={run_dir}", f"--data_dir={tmp_path}"]
    if wrong == "no tickets":
        (tmp_path / "config.json").write_bytes((run_dir / "config.json").read_bytes())
    if wrong != "data_dir":
        flags = [f"--run_dir={tmp_path}"]
    assert export_auc.main(flags) == 1
    error = capsys.readouterr().err
    message = {
        "data_dir": "`data_dir` must not be given for 'movielens-small'",
        "no tickets": "of a run over several seeds name the folder of one",
        "no run": "config.json",
    }[wrong]
    assert message in error
    assert error.count("\n") == 1
