"""Methods side by side: runs that choose what tables keep otherwise than by thresholds."""

import dataclasses

import pytest

import pep_tf
from pep_tf.errors import RunError
from pep_tf.experiments import dry_run
from pep_tf.experiments.config import make_config
from pep_tf.experiments.report import write_report
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.experiments.table_text import table_text
from pep_tf.export.model_card import read_card
from pep_tf.training import Silent, Ticket
from tests import tiny

OPTIONS = {"model": "fm", "embedding_dim": 4, "epochs": 1}


def run(folder, **changes):
    config = make_config("tiny", 200, {**OPTIONS, **changes})
    return Run(config, tiny.DATA, RunFolder(folder), Silent())()


def test_a_method_is_reported_and_exported_like_a_ticket(tmp_path):
    method = "magnitude"
    results = run(tmp_path, method=method, budgets=["25%", "50%bytes"], export_dtype="float16")
    baseline, large, small = results.rows
    assert (baseline.method, large.method) == (None, method)
    assert (small.stage, small.nnz) == ("ticket", 16)
    assert large.table_bytes <= 0.5 * 4 * 16 * 5 < baseline.table_bytes
    shown = table_text(results)
    assert f"{method} 25" in shown
    assert "*1/1" in shown
    assert "* best epoch at the cap" in shown
    card = read_card(tmp_path / "export" / "ticket_16" / "1")
    assert card["method"] == method
    assert card["check"]["largest_difference"] < 1e-3
    page = write_report([tmp_path]).read_text()
    assert f"method {method}" in page
    assert "thresholds by" not in page
    assert "1, at the cap" in page


def test_what_has_no_effect_beside_a_method_is_refused():
    with pytest.raises(RunError, match="`threshold_init` has no effect with method=random"):
        make_config("tiny", 200, {**OPTIONS, "method": "random", "threshold_init": -4.0})
    with pytest.raises(RunError, match="`method` must be one of pep, magnitude"):
        make_config("tiny", 200, {**OPTIONS, "method": "size"})
    with pytest.raises(RunError, match="`prune_linear` has no effect with method=qr"):
        make_config("tiny", 200, {**OPTIONS, "method": "qr", "prune_linear": True})
    with pytest.raises(RunError, match="`export_dtype` must be one of .* not rounded in training"):
        make_config("tiny", 200, {**OPTIONS, "method": "hash", "export_dtype": "lsq4"})
    with pytest.raises(RunError, match="'hash' has no tickets"):
        pep_tf.prune(tiny.model("fm"), tiny.DATA, budgets=[12], method="hash")


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({"budgets": ["3%bytes", "30KB"]}, ("prefix", "lsq4", "trained")),
        ({"budgets": ["30KB"], "ticket_init": "random"}, ("prefix", "lsq4", "random")),
        ({"budgets": ["30KB"], "method": "pep"}, ("pep", "float32", "original")),
        ({"budgets": ["30KB"], "export_dtype": "int8"}, ("pep", "int8", "original")),
        ({"budgets": ["30KB"], "granularity": "field"}, ("pep", "float32", "original")),
        ({"budgets": ["30KB"], "model": "deepfm"}, ("pep", "float32", "original")),
        ({"budgets": ["30KB", "3%"]}, ("pep", "float32", "original")),
        ({"budgets": ["3%"]}, ("pep", "float32", "original")),
        ({}, ("pep", "float32", "original")),
    ],
)
def test_what_budgets_in_bytes_are_cut_by(changes, chosen):
    config = make_config("tiny", 200, {**OPTIONS, **changes})
    assert (config.method, config.export_dtype, config.ticket_init) == chosen


@pytest.mark.parametrize("method", ["hash", "mde", "mgqe"])
def test_small_tables_are_trained_exported_and_reported(method, tmp_path):
    budgets = ["95%", "25%bytes"] if method == "hash" else ["95%"]
    results = run(tmp_path, method=method, budgets=budgets, export_dtype="int8")
    row = results.rows[1]
    assert (row.stage, row.method) == ("small", method)
    assert row.nnz == row.budget <= 0.95 * 64
    assert f"{method} " in table_text(results)
    card = read_card(tmp_path / "export" / f"{method}_{row.nnz}" / "1")
    assert card["table"]["format"] == "SmallTable"
    assert card["table"]["nnz"] == row.nnz
    assert card["check"]["largest_difference"] < 0.01
    assert row.table_bytes == card["table"]["bytes"] + card["first_order"]["bytes"]
    if method == "hash":
        assert results.rows[2].table_bytes <= 0.25 * 4 * 16 * 5
        page = write_report([tmp_path]).read_text()
        assert f"method {method}" in page
        assert f"Serve {method}_" in page
        assert "this small table" in page
        assert "No tickets in the folder" not in page


@pytest.mark.parametrize("method", ["qr", "mde"])
def test_a_size_that_a_method_cannot_reach_is_refused_with_the_nearest(method, tmp_path):
    with pytest.raises(RunError, match=rf"'{method}' takes at least \d+ numbers .* of 6 numbers"):
        run(tmp_path, method=method, budgets=["10%"])


def test_tickets_may_be_retrained_at_a_rate_and_from_a_start_of_their_own(tmp_path):
    options = {"method": "random", "budgets": [16], "export_format": "none", "epochs": 1}
    options |= {"ticket_init": "trained", "retrain_learning_rate": 0.05}
    results = run(tmp_path, **options)
    row = results.rows[1]
    assert "(trained start)" in table_text(results)
    ticket = Ticket.load(tmp_path / "tickets" / "ticket_16.safetensors")
    settings = dataclasses.replace(make_config("tiny", 200, OPTIONS).settings(), learning_rate=0.05)
    assert row.test_auc == ticket.retrain(tiny.DATA, init="trained", settings=settings).test.auc
    with pytest.raises(RunError, match="`retrain_learning_rate` must be above 0"):
        make_config("tiny", 200, {**OPTIONS, "retrain_learning_rate": 0})


@pytest.mark.parametrize(("method", "epochs"), [("pep", 60), ("magnitude_rounds", 8), ("qr", 0)])
def test_a_dry_run_counts_what_a_method_trains(method, epochs, monkeypatch):
    monkeypatch.setattr(dry_run, "_measured", lambda *_: (0.001, 0.0))
    config = make_config("tiny", 200, {**OPTIONS, "epochs": 4, "method": method})
    config = dataclasses.replace(config, budgets=("50%", "25%"), prune_epochs=60, batch_size=100)
    told = dry_run.describe(config, tiny.DATA)
    assert f"at most {2 * (epochs + 4 * 3):,} in all" in told
