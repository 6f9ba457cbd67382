"""What `pip install` takes and leaves."""

import importlib.util
import inspect
import itertools
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import pep_tf
from pep_tf.cli import COMMANDS
from pep_tf.cli import main as run_command
from pep_tf.extras import EXTRAS
from pep_tf.version import __version__

ROOT = pathlib.Path(pep_tf.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:3]]


def test_the_pins_of_the_tests_are_within_the_bounds_of_the_package():
    text = "".join(
        (ROOT / f"requirements{name}.txt").read_text() for name in ("", "-export", "-beam")
    )
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", text, re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    parts = [extras[name] for name in EXTRAS]
    asked = [*PROJECT["project"]["dependencies"], *itertools.chain(*parts)]
    bounds = {re.split("[<>=]", one)[0]: one for one in asked}
    assert set(bounds) == set(pins)
    for name, bound in bounds.items():
        least = re.search(r">=([\d.]+)", bound)
        most = re.search(r"<([\d.]+)", bound)
        assert numbers(pins[name]) >= numbers(least[1]), bound
        assert most is None or numbers(pins[name]) < numbers(most[1]), bound


def test_only_the_package_is_installed_and_tells_its_types_and_version():
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]
    assert found == {"include": ["pep_tf*"]}
    assert (ROOT / "pep_tf" / "py.typed").exists()
    assert pep_tf.__version__ == __version__


def test_a_name_of_before_is_the_new_one_with_a_warning():
    with pytest.warns(DeprecationWarning, match="pep_tf.export now"):
        assert pep_tf.export_model is pep_tf.export
    with pytest.raises(AttributeError, match="has no attribute 'exports'"):
        _ = pep_tf.exports


WITHOUT_EXTRAS = """
import sys
sys.modules.update(dict.fromkeys({optional}))  # as if they were not installed
import keras
before = {{name.split(".")[0] for name in sys.modules}}
import pep_tf
loaded = {{name.split(".")[0] for name in sys.modules}} - before - set(sys.stdlib_module_names)
assert loaded == {{"pep_tf", "safetensors"}}, loaded
import numpy as np
from pep_tf.training.metrics import metrics_of
ids = np.arange(512)[:, None] % 100
model = pep_tf.prunable(keras.Sequential([keras.layers.Embedding(100, 4),
                                          keras.layers.Flatten(), keras.layers.Dense(1)]))
model.compile(pep_tf.RowwiseAdam(1e-2), "mse")
cut = pep_tf.PruneCallback(budgets=["10%"])
model.fit(ids, ids % 2, epochs=2, verbose=0, callbacks=[cut])
assert cut.tickets[0].nnz == 40
cut.tickets[0].save("ticket")
assert metrics_of(ids[:, 0] % 2, ids[:, 0]).auc > 0.5
for ask in (lambda: pep_tf.data.from_dataframe, lambda: pep_tf.data.load, pep_tf.Results([]).to_pandas):
    try:
        ask()
    except ImportError as error:
        print(error)
from pep_tf.cli import main
print(main(["search"]))
"""


def test_without_extras_it_trains_and_cuts_and_names_what_is_missing(tmp_path):
    optional = set(itertools.chain(*EXTRAS.values()))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS.format(optional=optional)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert "pep_tf.data.from_dataframe needs " in told[0]
    assert [line.split("pip install ")[1] for line in told] == ["'pep_tf[data]'"] * 3
    assert done.stdout.endswith("\n1\n")
    assert "error: a search needs pandas, which is not installed" in done.stderr


def test_every_command_has_a_name(capsys):
    assert PROJECT["project"]["scripts"] == {"pep-tf": "pep_tf.cli:main"}
    assert run_command(["--version"]) == run_command([]) == 0
    assert run_command(["trian"]) == 1
    told = capsys.readouterr()
    assert "no such command: trian" in told.err
    for name in COMMANDS:
        assert name in told.out
        assert run_command([name, "--help"]) == 0
        start = "usage: pep-tf prepare NAME" if name == "prepare" else "usage: python -m pep_tf."
        assert start in capsys.readouterr().out
    assert run_command(["prepare", "table", "--help"]) == 0
    assert "usage: python -m pep_tf.prepare.table" in capsys.readouterr().out


def test_a_name_that_is_imported_late_is_none_of_a_module():
    """Importing `pep_tf.data.load` as a module would put it in the place of the function."""
    late = inspect.getclosurevars(pep_tf.data.__getattr__).nonlocals["modules"]
    assert "load" in late
    assert not [name for name in late if importlib.util.find_spec(f"pep_tf.data.{name}")]
