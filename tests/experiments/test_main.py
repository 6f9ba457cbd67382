"""The command line from end to end."""

import html
import json
import pathlib
import random
import re
import shlex
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pep_tf.experiments import export
from pep_tf.export.inspect import inspect, render
from tests.experiments.command import SHORT, called, rows_without_times, run, start, wait_for


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    code, out, err = run(*SHORT, f"--run_dir={folder}")
    assert code == 0, err
    return folder, out, err


def test_writes_every_result(finished):
    folder, out, err = finished
    rows = json.loads((folder / "results.json").read_text("utf-8"))
    assert [row["stage"] for row in rows] == ["baseline", "ticket", "ticket"]
    entries = rows[0]["budget"]
    assert [row["nnz"] for row in rows] == [entries, entries // 5, 1000]
    assert {row["dataset"] for row in rows} == {"movielens-small"}
    assert all(0.5 < row["test_auc"] < 1 for row in rows)
    assert all(set(row["split_md5"]) == {"train", "validation", "test"} for row in rows)
    for name in ("config.json", "environment.json", "history.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert sorted(p.name for p in (folder / "tickets").glob("*.safetensors")) == [
        "ticket_1000.safetensors",
        f"ticket_{entries // 5}.safetensors",
    ]
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))
    assert "test AUC" in out
    assert "device:" in err
    assert not re.search("^([EIW][0-9]{4}|WARNING)", err, re.MULTILINE)  # of TensorFlow's own


def test_a_saved_model_needs_neither_the_package_nor_keras(finished):
    folder, _, _ = finished
    (path, *_) = sorted((folder / "export").glob("ticket_*/1"))
    script = f"""
        import sys
        sys.modules["pep_tf"] = sys.modules["keras"] = None  # importing either now fails
        import numpy as np, tensorflow as tf
        served = tf.saved_model.load({str(path)!r}).signatures["ids"]
        answer = served(ids=tf.zeros([3, 5], tf.int32))
        assert answer["probability"].shape == (3,)
        assert np.all((answer["probability"] > 0) & (answer["probability"] < 1))
        numbers = {{"user": 1, "movie": 31, "year": 1995, "timestamp": 1260759144}}
        raw = {{name: tf.constant([value], tf.int64) for name, value in numbers.items()}}
        loaded = tf.saved_model.load({str(path)!r}).signatures["serving_default"]
        assert 0 < loaded(genres=tf.constant(["Drama"]), **raw)["probability"][0] < 1
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=300)


def test_the_page_posts_raw_features_as_the_readme_does(finished):
    page = html.unescape((finished[0] / "report.html").read_text("utf-8"))
    [body] = re.findall(r"curl -d @(\S+) http://localhost:8501/v1/models/ctr:predict", page)
    request = json.loads(pathlib.Path(shlex.split(body)[0]).read_text("utf-8"))
    assert set(request["inputs"]) == {"user", "movie", "year", "genres", "timestamp"}


def test_every_form_of_export(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs requirements-export.txt")
    flags = ["--no_retrain", "--export_format=both", "--export_dtype=int8", "--budgets=1000"]
    flags += ["--prune_linear"]
    code, _, err = called(*SHORT, "--epochs=1", "--prune_epochs=1", *flags, f"--run_dir={tmp_path}")
    assert code == 0, err
    assert err.count("int8 changes a probability by at most") == 4  # baseline and ticket
    assert (tmp_path / "export/ticket_1000/1/saved_model.pb").exists()
    rows = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert [row["budget"] for row in rows] == [10_213 * 9, 1000]  # d + 1 = 9
    assert {row["parameters"] - row["nnz"] for row in rows} == {1}  # the bias
    assert (tmp_path / "export/ticket_1000_litert/1/model.tflite").exists()


def test_a_finished_run_is_not_overwritten(finished):
    folder, _, _ = finished
    before = (folder / "results.json").read_bytes()
    code, _, err = called(*SHORT, f"--run_dir={folder}")
    assert code == 1
    assert "already holds this run" in err
    assert "Traceback" not in err
    code, _, err = called(*SHORT, f"--run_dir={folder}", "--resume", "--l2=0.5")
    assert code == 1
    assert "configuration: l2 1e-05, here 0.5." in err
    assert (folder / "results.json").read_bytes() == before


def kill_and_resume(tmp_path, kills, seconds):
    """Kills a run `kills` times at random moments, then lets it end."""
    folder = tmp_path / "killed"
    flags = [*SHORT, f"--run_dir={folder}"]
    for _ in range(kills):
        resume = ["--resume"] if (folder / "config.json").exists() else []
        begun = time.time()
        process = start(*flags, *resume)
        wait_for(folder / ".lock", begun)
        time.sleep(random.uniform(*seconds))
        process.kill()
        process.communicate()
    resume = ["--resume"] if (folder / "config.json").exists() else []
    code, _, err = run(*flags, *resume)
    assert code == 0, err
    return rows_without_times(folder)


def test_killed_twice_ends_with_the_same_results(finished, tmp_path):
    assert kill_and_resume(tmp_path, 2, (0, 10)) == rows_without_times(finished[0])


@pytest.mark.slow
def test_killed_ten_times_ends_with_the_same_results(finished, tmp_path):
    assert kill_and_resume(tmp_path, 10, (0, 20)) == rows_without_times(finished[0])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=movielens-2m"], "movielens-2m"),
        (["--dataset=movielens-1m", "--data_dir=/nowhere"], "/nowhere"),
        (["--budgets=0.2,often"], "often"),
        (["--model=fmm"], "fmm"),
        (["--granularity=entry"], "entry"),
        (["--threshold_init=low"], "low"),
        (["--seeds=0"], "`seeds` must be at least 1"),
        (["--baseline_dims=8,x"], "`baseline_dims` must be whole numbers"),
        (["--budgets=5,000"], "write 5,000 as 5_000"),
        (["--budgets=264,256"], "and as `264, 256` if it is two"),
        (["--budgets=101%"], "must be at most 100%"),
        (["--budgets=20%,0"], "must keep at least one entry"),
        (["--rows=5x", "--dataset=synthetic-criteo"], "`rows` must be a whole number"),
        (["--seed=-1"], "`seed` must be at least 0"),
        (["--epochs=1e12"], "`epochs` must be at most 2,147,483,647"),
        (["--dropout=0.2"], "`dropout` has no effect with model=fm"),
        (["--mlp_widths=10", "--model=fm"], "`mlp_widths` has no effect with model=fm"),
        (["--attention_dropout=0", "--model=deepfm"], "it is for autoint. Leave it out."),
        (["--cross_layers=2", "--model=autoint"], "`cross_layers` has no effect with model=autoi"),
        (["--cross_rank=2"], "`cross_rank` has no effect with model=fm: it is for dcn."),
        (["--cross_rank=0", "--model=dcn"], "`cross_rank` must be at least 1"),
        (["--cross_layers=0", "--model=dcn"], "`cross_layers` must be at least 1"),
        (["--prune_linear", "--model=dcn"], "`model=dcn` has not"),
        (["--dense_below=5", "--updates=dense"], "`dense_below` has no effect with updates=dense"),
        (["--ticket_init=original", "--no_retrain"], "`ticket_init` has no effect with no_retrain"),
        (["--export_format=none", "--export_dtype=int8"], "`export_dtype` has no effect"),
        (["--threshold_target=3", "--threshold_l2=0"], "`threshold_target` has no effect"),
        (["--bugets=1"], "Did you mean: budgets"),
        (["--resume=perhaps"], "`resume` must be true or false. Received: 'perhaps'"),
        (["--baseline_dims=16,64"], "other than `embedding_dim` (64)"),
        (["--baseline_dims=4,4"], "must be different"),
        (["--mlp_widths=100,wide"], "100,wide"),
        (["--ticket_init=random", "--no_retrain"], "no effect"),
        (["--config=nowhere.py"], "nowhere.py"),
        (["surplus"], "surplus"),
        (["--prune_linear", "--model=autoint"], "`model=autoint` has not"),
        (["--export_dtype=float64"], "float64"),
        (["--export_format=onnx"], "onnx"),
        (["--resume", "--dataset=movielens-small"], "no run"),
        (["--run_dir="], "A path must not be empty"),
        (["--learning_rate=0"], "`learning_rate` must be above 0. Received: 0.0"),
        (["--dropout=1", "--model=deepfm"], "`dropout` must be at least 0 and below 1"),
        (["--attention_dropout=-1", "--model=autoint"], "`attention_dropout` must be at least 0"),
        (["--verify", "--dataset=movielens-small"], "`verify` has no effect without a prepared"),
        (
            ["--model=dcn", "--cross_rank=1e9", "--dataset=movielens-small"],
            "The run takes at least",
        ),
        (["--resume", "--dataset=movielens-small", "--run_dir=gone"], "gone holds no run. Leave"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_users_mistake_is_one_line(flags, message, tmp_path, monkeypatch, capsys):
    """In process, since each of these ends before any training."""
    from pep_tf.experiments import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "use_memory_pool", lambda: None)  # it sets the environment
    code = main.main(flags)
    err = capsys.readouterr().err
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("study", "flags", "message"),
    [
        ({"mlp_widths": [8]}, [], "`mlp_widths` has no effect with model=fm"),
        ({"model": "deepfm", "mlp_widths": [8]}, ["--model=fm"], "`mlp_widths` has no effect with"),
        ({"export_format": "none"}, ["--export_dtype=int8"], "`export_dtype` has no effect with"),
        ({"budgets": ["101%"]}, [], "must be at most 100%"),
        ({"epochs": "many"}, [], "`epochs` must be a whole number"),
        ({"mlp_widths": "100", "model": "deepfm"}, [], "`mlp_widths` must be a list"),
        ({"prune_linear": True}, ["--model=dcn"], "`prune_linear` needs first-order weights"),
        # What the flags replace or complete is as if it had been so in the file.
        ({"mlp_widths": [8]}, ["--model=deepfm", "--run_dir=gone", "--resume"], "holds no run"),
        ({"budgets": ["101%"]}, ["--budgets=5%", "--run_dir=gone", "--resume"], "holds no run"),
        ({"embedding_dim": 8, "baseline_dims": [4]}, ["--embedding_dim=4"], "must be different"),
        (
            {"baseline_dims": [64, 16]},
            ["--embedding_dim=128", "--run_dir=gone", "--resume"],
            "holds no run",
        ),
    ],
    ids=str,
)
def test_a_study_and_flags_are_checked_together(
    study, flags, message, tmp_path, monkeypatch, capsys
):
    from pep_tf.experiments import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "use_memory_pool", lambda: None)
    (tmp_path / "study.py").write_text(f"CONFIG = {study}\n", "utf-8")
    code = main.main(["--config=study.py", "--dataset=movielens-small", *flags])
    err = capsys.readouterr().err
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["study.py"]


def test_a_retrained_ticket_is_exported_again(finished, tmp_path, capsys):
    folder, _, _ = finished
    command = [str(folder), "--ticket=1000", f"--out={tmp_path / 'served'}", "--dtype=float16"]
    assert export.main(command) == 0
    again, first = (inspect(path) for path in (tmp_path / "served", folder / "export/ticket_1000"))
    assert again["bytes"]["total"] < first["bytes"]["total"]
    raw = "assets.extra/requests/serving_default.json"
    assert (tmp_path / "served/1" / raw).read_text() == (
        folder / "export/ticket_1000/1" / raw
    ).read_text()
    answers = [
        tf.saved_model.load(str(path)).signatures["ids"](ids=tf.zeros([3, 5], tf.int32))["logit"]
        for path in (folder / "export/ticket_1000/1", tmp_path / "served/1")
    ]
    np.testing.assert_allclose(*answers, atol=1e-3)
    assert export.main([str(folder), "--ticket=7", f"--out={tmp_path / 'other'}"]) == 1
    assert "`--ticket` must be one of 1000, " in capsys.readouterr().err


def test_quiet_prints_results_alone(finished):
    folder, out, _ = finished
    code, quiet, err = called(*SHORT, f"--run_dir={folder}", "--resume", "--quiet")
    assert code == 0
    assert quiet == out
    assert "ticket" not in err


def test_a_dry_run_says_what_to_expect(tmp_path):
    flags = ["--dataset=movielens-small", "--embedding_dim=8", "--budgets=40%bytes", "--dry_run"]
    code, out, err = called(*flags, f"--run_dir={tmp_path / 'r'}")
    assert code == 0, err
    assert "--method=prefix --export_dtype=lsq4 --ticket_init=trained" in err
    for word in ("steps", "memory", "time", "movielens-small"):
        assert word in out
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("instructions", "model"),
    # Which instructions oneDNN may use is read once a process; None: all that the processor has.
    [("AVX2", "autoint"), (None, "deepfm")],
)
def test_bfloat16(tmp_path, monkeypatch, instructions, model):
    if instructions:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", instructions)
    folder, rng = tmp_path / "run", np.random.default_rng(0)
    rows = pd.DataFrame({"user": rng.integers(0, 30, 1500), "item": rng.integers(0, 40, 1500)})
    rows["clicked"] = (rng.random(len(rows)) < 0.2 + 0.6 * (rows["user"] % 2)).astype(int)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    flags = [f"--dataset={tmp_path / 'rows.csv'}", "--label=clicked", "--embedding_dim=8"]
    flags += ["--features=user=vocabulary,item=vocabulary", "--batch_size=64", "--epochs=1"]
    flags += ["--learning_rate=0.01", "--prune_epochs=1", "--budgets=100", f"--model={model}"]
    flags += ["--precision=bfloat16", "--export_dtype=float16", f"--run_dir={folder}"]
    flags += ["--notensorboard"]
    code, _, err = (run if instructions else called)(*flags)
    assert code == 0, err
    rows = json.loads((folder / "results.json").read_text("utf-8"))
    assert all(0.5 < row["test_auc"] < 1 for row in rows)
    assert b"mixed_bfloat16" in (folder / "tickets" / "ticket_100.safetensors").read_bytes()
    assert (folder / "export/ticket_100/1/saved_model.pb").exists()
    assert "computes in bfloat16" in render(inspect(folder / "export/ticket_100"))


def test_options_of_a_model(tmp_path):
    folder = tmp_path / "run"
    flags = ["--dataset=synthetic-avazu", "--rows=3000", "--num_features=300", "--embedding_dim=4"]
    flags += ["--epochs=1", "--prune_epochs=1", "--budgets=20%", "--notensorboard"]
    flags += ["--model=dcn", "--cross_layers=1", "--cross_rank=5", "--mlp_widths=8"]
    code, _, err = called(*flags, f"--run_dir={folder}")
    assert code == 0, err
    rows = json.loads((folder / "results.json").read_text("utf-8"))
    assert [row["model"] for row in rows] == ["dcn", "dcn"]
    width = 22 * 4
    cross, logit = 2 * width * 5 + width, width + 1
    mlp = width * 8 + 8 + 4 * 8 + 8 + 1
    assert {row["tower"] for row in rows} == {cross + logit + mlp}
    assert "DCN on synthetic-avazu" in (folder / "report.html").read_text("utf-8")
