"""The main command on data of one's own: a run, its resumption, its exports; what it refuses."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_prep.table import prepare
from pep_tf.experiments import main
from tests.data.columns.clicks import FEATURES, clicks

FLAGS = (
    *("--embedding_dim=2", "--epochs=1", "--prune_epochs=1", "--budgets=30%", "--batch_size=64"),
    *("--quiet", "--notensorboard"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on a declared table."""
    folder = tmp_path_factory.mktemp("own")
    clicks().to_csv(folder / "clicks.csv", index=False)
    (folder / "drinks.py").write_text(
        f"DATA = {{'files': 'clicks.csv', 'label': 'clicked', 'features': {FEATURES!r}, "
        "'split': 'time:time'}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "use_memory_pool", lambda: None)  # it sets the environment
        patch.chdir(folder)
        assert main.main([*FLAGS, "--dataset=drinks.py"]) == 0
        yield folder


def rows_of(folder) -> list[dict]:
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_a_run_trains_and_serves_it(run):
    folder = run / "runs" / "drinks-fm-1"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["dataset"] == "drinks"
    assert config["threshold_init"] == "auto"
    assert config["data"]["identity"]["mapping"]["kinds"] == FEATURES
    assert config["data"]["identity"]["split"]["split"] == "time:time"
    assert [row["stage"] for row in rows_of(folder)] == ["baseline", "ticket"]
    assert "--dataset=drinks.py" in (folder / "report.html").read_text("utf-8")
    for version in folder.glob("export/*/1"):
        request = version / "assets.extra/requests/serving_default"
        inputs = json.loads(request.with_suffix(".json").read_text("utf-8"))["inputs"]
        served = tf.saved_model.load(version).signatures["serving_default"]
        answer = served(**{name: tf.constant(texts) for name, texts in inputs.items()})
        told = json.loads(request.with_suffix(".answer.json").read_text("utf-8"))["outputs"]
        np.testing.assert_allclose(answer["probability"], told, rtol=0, atol=1e-6)


def test_a_run_is_taken_up_with_the_same_table_alone(run, capsys, monkeypatch):
    monkeypatch.setattr(main, "write_report", lambda folders: folders[0])
    folder = run / "runs" / "drinks-fm-1"
    before = rows_of(folder)
    (folder / "results.json").unlink()
    path = run / "clicks.csv"
    changed = pd.read_csv(path)
    changed.assign(price=changed["price"] + 1).to_csv(path, index=False)
    assert main.main([*FLAGS, "--dataset=drinks.py", "--resume"]) == 1
    told = capsys.readouterr().err
    assert "begun on other data: data content: features of" in told
    assert told.count("\n") == 1
    changed.to_csv(path, index=False)
    assert main.main([*FLAGS, f"--dataset={run / 'drinks.py'}", "--resume"]) == 0
    assert rows_of(folder) == before


def test_a_store_of_it_trains_and_serves_as_well(run, capsys, monkeypatch):
    monkeypatch.setattr(main, "write_report", lambda folders: folders[0])
    assert prepare.main(["--dataset=drinks.py", f"--out={run / 'store'}"]) == 0
    told = capsys.readouterr().out
    assert "train      160 rows" in told
    assert "  user  " in told
    (run / "criteo.py").write_text((run / "drinks.py").read_text())
    assert prepare.main(["--dataset=criteo.py", f"--out={run / 'none'}"]) == 1
    assert "must have another name than the data set 'criteo'" in capsys.readouterr().err
    assert not (run / "none").exists()
    flags = [*FLAGS, "--dataset=store", "--run_dir=stored", "--no_retrain", "--export_format=none"]
    assert main.main(flags) == 0
    config = json.loads((run / "stored" / "config.json").read_text("utf-8"))
    known = json.loads((run / "runs/drinks-fm-1/config.json").read_text("utf-8"))["data"]
    for part in ("content", "mapping"):
        assert config["data"]["identity"][part] == known["identity"][part]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--dataset=clicks.csv",), "`label` must be given for clicks.csv"),
        (
            ("--dataset=clicks.csv", "--label=user", "--features=item=hash:9"),
            "`user` must be 0 or 1 in every row.*clicks.csv, line",
        ),
        (
            ("--dataset=clicks.csv", "--label=clicked", "--features=item=embedding"),
            "`item` must be of a kind among vocabulary, hash:N",
        ),
        (("--dataset=nothing.csv", "--label=a", "--features=b=hash:9"), "there is no such file"),
        (("--dataset=drinks.py", "--split=random"), "`split` stands in drinks.py itself"),
        (("--dataset=movielens-small", "--label=a"), "movielens-small has no option label"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(run, capsys, flags, message):
    assert main.main([*FLAGS, *flags]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert re.search(message, told), told
