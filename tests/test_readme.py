"""Python examples of the README and the pages in `docs/` run as they stand, and stay short."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pep_tf.data import from_dataframe
from tests.export.test_keys import ticket_on, whole_table

ROOT = pathlib.Path(__file__).resolve().parents[1]


def python_examples() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        code
        for page in pages
        for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)
    ]


# The example of each test below, by a text that it alone holds.
MAIN, OWN_DATA = 'data.load("movielens-small")\nmodel', "from_dataframe("
OWN_MODEL, SEARCH, KEYS = "pep_tf.prunable(", "tuning.tune(", "schema.json"
ALL = (MAIN, OWN_DATA, OWN_MODEL, SEARCH, KEYS)


def test_every_example_is_run_by_a_test_below():
    held = [[mark for mark in ALL if mark in code] for code in python_examples()]
    assert sorted(held) == sorted([mark] for mark in ALL)


def test_the_readme_is_one_to_be_read():
    assert (ROOT / "README.md").read_text("utf-8").count("\n") <= 120


def test_the_picture_at_the_top_is_drawn_by_the_command_beside_it(tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    picture = ROOT / re.search(r"!\[.*?\]\((.*?)\)", readme)[1]
    command = re.search(r"`python (-m pep_tf\.experiments\.report \S+ --output=(\S+))`", readme)
    kept = ROOT / "experiments" / "results"
    copy = shutil.copytree(kept, tmp_path / "experiments" / "results")  # nothing there may change
    subprocess.run(
        [sys.executable, *command[1].split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    drawn = matplotlib.image.imread(tmp_path / command[2] / "figures" / picture.name)
    assert drawn.shape == matplotlib.image.imread(picture).shape
    assert abs(drawn - matplotlib.image.imread(picture)).mean() < 0.01
    for path in [path for path in kept.rglob("*") if path.is_file()]:
        assert (copy / path.relative_to(kept)).read_bytes() == path.read_bytes(), path
    assert {p.relative_to(copy) for p in copy.rglob("*")} == {
        p.relative_to(kept) for p in kept.rglob("*")
    }


# Raw rows of the example with data of one's own, answered by the export and by its model.
FEED = """
import tensorflow as tf
own = data.test.row_numbers[:500]
raw = {name: tf.constant([*x]) for name, x in data.transform.texts(df.iloc[own]).items()}
served = tf.saved_model.load("runs/own/1").signatures["serving_default"]
expected = tf.sigmoid(ticket.retrained(data.test.ids[:500]))[:, 0]
print(abs(served(**raw)["probability"].numpy() - expected.numpy()).max())
"""


@pytest.fixture
def run_example(tmp_path, monkeypatch, capsys):
    """What the only example that holds a text prints, run in a folder, with more code after it."""

    def run(holding: str, more: str = "") -> str:
        (code,) = [code for code in python_examples() if holding in code]
        assert code.count("\n") < 20
        monkeypatch.chdir(tmp_path)
        exec(compile(code + more, "README.md", "exec"), {"__name__": "__main__"})
        return capsys.readouterr().out

    return run


def test_the_main_example_runs(tmp_path, run_example):
    assert run_example(MAIN).count("test AUC") == 2
    version = tmp_path / "runs/example/export/small/1"
    request, answer = (
        json.loads((version / "assets.extra/requests" / name).read_text("utf-8"))
        for name in ("serving_default.json", "serving_default.answer.json")
    )
    text = " ".join((ROOT / "docs" / "serving.md").read_text("utf-8").split())
    assert f"sends `{json.dumps(request)}` and gets" in text
    # Which numbers training comes to depends on the processor; what a file answers does not.
    [told] = re.findall(r'for example `(\{"outputs": .*?\})`', text)
    assert len(json.loads(told)["outputs"]) == len(answer["outputs"]) == 2
    served = tf.saved_model.load(version).signatures["serving_default"]
    types = served.structured_input_signature[1]
    raw = {name: tf.constant(v, types[name].dtype) for name, v in request["inputs"].items()}
    np.testing.assert_allclose(served(**raw)["probability"], answer["outputs"], rtol=0, atol=2e-6)


def test_the_example_with_data_of_ones_own_runs(run_example):
    told = run_example(OWN_DATA, FEED)
    assert told.count("test AUC") == 3
    assert float(told.split()[-1]) <= 1e-6


def test_the_example_with_a_keras_model_of_ones_own_runs(run_example):
    assert "runs/example/own_model/1" in run_example(OWN_MODEL)


def test_the_search_example_runs(tmp_path, run_example):
    assert "threshold_learning_rate" in run_example(SEARCH)
    assert (tmp_path / "runs/search/best.py").exists()


def test_the_example_that_reads_keys_runs(tmp_path, run_example):
    frame = pd.DataFrame({"user": [f"u{k % 20}" for k in range(99)], "clicked": np.arange(99) % 2})
    ticket = ticket_on(from_dataframe(frame, "clicked", {"user": "vocabulary"}), 20)
    ticket.export_keys(tmp_path / "keys")
    vector = json.loads(run_example(KEYS, "\nprint(vector.tolist())"))
    row = sorted(f"u{k}" for k in range(20)).index("u17") + 2
    np.testing.assert_array_equal(np.float32(vector), whole_table(ticket.retrained)[row])
