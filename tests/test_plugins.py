"""What is added from outside the package: CONTRIBUTING's pieces, as they stand there, and what can go wrong."""

import json
import pathlib
import re
import shlex
import sys

import pytest

from pep_tf import cli
from pep_tf.data import DATA_SETS
from pep_tf.experiments import main
from pep_tf.models import MODELS
from pep_tf.tables import GRANULARITIES
from pep_tf.training import METHODS
from tests.experiments.command import called

TEXT = (pathlib.Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8")
COMMANDS = re.search(r"```sh\n(.*?)```", TEXT, re.S)[1].splitlines()
SHORT = ["--embedding_dim=2", "--epochs=1", "--prune_epochs=1", "--budgets=50%", "--no_retrain"]
SHORT += ["--export_format=none", "--notensorboard", "--quiet", "--threshold_init=-3"]


@pytest.fixture(autouse=True)
def outside(tmp_path, monkeypatch):
    """A working folder of one's own, and registries that are as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    registries = (DATA_SETS, MODELS, GRANULARITIES, METHODS)
    before = [dict(registry) for registry in registries]
    yield tmp_path
    for registry, own in zip(registries, before, strict=True):
        registry.clear()
        registry.update(own)
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    ("line", "kind"), [*zip(COMMANDS, ("halves", "first_columns"), strict=True)]
)
def test_what_contributing_says_runs_as_it_stands(line, kind, outside, monkeypatch):
    pieces = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(pieces) == 4
    (outside / "mine.py").write_text("\n\n".join(pieces))
    monkeypatch.setattr(main, "write_report", lambda folders: folders[0])
    name, command, *flags = shlex.split(line)
    assert (name, cli.COMMANDS[command][0]) == ("pep-tf", main.__name__)
    own = [
        flag
        for flag in SHORT
        if kind == "halves" or "threshold" not in flag and "prune" not in flag
    ]
    code, _, err = called(*flags, *own, "--run_dir=run")
    assert code == 0, err
    rows = json.loads((outside / "run" / "results.json").read_text())
    assert [(row["model"], row["dataset"], row["stage"]) for row in rows] == [
        ("dot", "coins", "baseline"),
        ("dot", "coins", "pruned"),
    ]
    assert kind in (rows[1]["granularity"], rows[1]["method"])
    assert rows[1]["nnz"] == 14  # half of the entries: 2 for each of 10 values and 4 ids beside
    if kind == "halves":
        code, out, _ = called("--help", "--plugin", "mine")
        assert code == 0
        assert "|halves" in out.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no such module in the working folder, nor is it installed"),
        ("import numbers_of_mine", "fails: No module named 'numbers_of_mine'"),
        ("1 / 0", "fails: ZeroDivisionError: division by zero"),
        (
            "from pep_tf.models import *\n@register('fm')\nclass X(CTRModel): ...",
            "of another model",
        ),
        ("from pep_tf.training.methods import *\n@register('pep')\ndef x(): ...", "another method"),
        (
            "from pep_tf.data import *\nfrom pep_tf import data\n@data.register('avazu')\ndef x(): ...",
            "another data set",
        ),
        (
            "from pep_tf.tables.granularity import *\n@register('field')\nclass X(Granularity): ...",
            "another granularity",
        ),
    ],
)
def test_a_plugin_that_fails_is_one_line(text, told, outside):
    if text is not None:
        (outside / "mine.py").write_text(text)
    code, out, err = called("--plugin=mine", "--run_dir=run")
    assert (code, out) == (1, "")
    assert err.startswith("error: --plugin=mine")
    assert told in err
    assert err.count("\n") == 1
    assert not (outside / "run").exists()
