"""What all commands have in common: their help, and mistakes told in one line."""

import errno
import importlib
import pathlib
import re

import pytest
import tensorflow as tf
from absl import logging

from pep_tf.command_line import Command
from pep_tf.errors import RunError

COMMANDS = [
    *("pep_tf.experiments.main", "pep_tf.tuning.search"),
    *("pep_tf.experiments.report.__main__", "pep_tf.export.inspect", "pep_tf.experiments.export"),
    *(f"pep_tf.prepare.{name}" for name in ("movielens", "criteo", "avazu", "table")),
    *(f"data_prep.{name}.prepare" for name in ("movielens", "criteo", "avazu", "table")),
    *(f"benchmarks.{name}" for name in ("catch_up_error", "export_auc", "input_pipeline")),
    *(
        f"benchmarks.{name}"
        for name in ("input_wait", "memory", "scaling", "serving", "step_time", "sum_rows")
    ),
    *(
        f"experiments.{name}"
        for name in ("methods_movielens_1m", "methods_samples", "rowwise_outcome")
    ),
    *(f"experiments.{name}" for name in ("starts_movielens_small", "synthetic_criteo")),
    "experiments.tuning_report",
]
FLAGS = {
    "pep_tf.experiments.main": "dataset data_dir seeds budgets mlp_widths config run_dir tensorboard",
    "pep_tf.tuning.search": "algorithm max_trials tune chief_timeout budgets config run_dir",
    "pep_tf.experiments.report.__main__": "output",
    "pep_tf.experiments.export": "out dtype format examples ticket data_dir plugin",
    "pep_tf.prepare.movielens": "raw out features seed",
    "pep_tf.prepare.criteo": "raw out encoding buckets min_count count_on seed workers overwrite",
    "pep_tf.prepare.avazu": "raw out encoding buckets hour on_bad_row",
    "benchmarks.step_time": "updates kept floor compare pairs",
    "benchmarks.memory": "every output",
}
ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def command():
    made = Command("my.module", "Counts things.\n\nMore.", arguments="FOLDER ...")
    made.heading("What")
    made.whole("rows", 10, "how many", least=1)
    made.real("rate", None, "how fast", shown="as it comes")
    made.choice("kind", "plain", ("plain", "odd"), "which kind")
    made.items("budgets", ("20%", "5%"), "entries to keep", counts=True)
    made.wholes("dims", (4, 8), "widths", least=1)
    made.heading("Where")
    made.path("out", None, "folder", required=True)
    made.path("raw", None, "file", exists=True)
    made.switch("resume", False, "go on")
    made.refuse({"seeds": "there is one"})
    return made


def test_reads_every_kind_of_flag(command, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = ["--rows=5,000", "--rate=1e-3", "--kind=odd", "--budgets=264, 256", "--dims=2,400"]
    assert command.read(["a", *flags, "--out=~/x/../y", "--resume", "b"]) == ["a", "b"]
    values = command.values
    assert (values.rows, values.rate, values.kind, values.resume) == (5000, 0.001, "odd", True)
    assert (values.budgets, values.dims) == (["264", "256"], (2, 400))
    assert values.out == tmp_path.resolve() / "y"
    assert set(command.given()) == {"rows", "rate", "kind", "budgets", "dims", "out", "resume"}


def test_reads_anew_each_time(command):
    command.read(["a", "--out=x", "--rows=3", "--resume"])
    command.read(["a", "--out=x", "--noresume"])
    assert (command.values.rows, command.values.resume) == (10, False)
    assert set(command.given()) == {"out", "resume"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows=5x"], "`rows` must be a whole number"),
        (["--rows=0"], "`rows` must be at least 1. Received: 0"),
        (["--rows"], "Missing value for flag --rows"),
        (["--rate=fast"], "`rate` must be a number"),
        (["--kind=plane"], "`kind` must be one of plain, odd. Received: 'plane'"),
        (["--budgets=5,000"], "write 5,000 as 5_000"),
        (["--dims=4,x"], "`dims` must be whole numbers such as 100,100. Received: 4,x"),
        (["--resume=perhaps"], "`resume` must be true or false"),
        (["--row=5"], "Unknown command line flag 'row'. Did you mean: rows ? (--help lists"),
        (["--seeds=3"], "`seeds` has no effect here: there is one."),
        (["--v=1"], "Unknown command line flag 'v'"),
        (["--undefok=row", "--row=5"], "Unknown command line flag 'undefok'"),
        (["--out=a\0"], "--out: The path 'a\\x00' cannot be used"),
        (["--out="], "--out: A path must not be empty"),
        (["--raw=none.txt"], "none.txt: there is no such file or folder."),
        (["a"], "--out must be given"),
        (["--out=x"], "FOLDER ... must be given"),
    ],
)
def test_a_mistake_is_one_line(command, arguments, message, capsys):
    assert command.run(lambda rest: pytest.fail("it ran"), arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def raising(error):
    def main(rest):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RunError("Not so."), 1, "error: Not so.\n"),
        (MemoryError("Unable to allocate 15 GiB"), 1, "error: out of memory: Unable to"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore"),
            1,
            "error: out of memory: OOM when allocating\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            1,
            "error: /x: Permission denied",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "error: /x: No space left"),
        (KeyboardInterrupt(), 130, "\ninterrupted"),
    ],
)
def test_what_is_not_the_programs_fault_has_no_traceback(command, error, code, message, capsys):
    assert command.run(raising(error), ["a", "--out=x"]) == code
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize("error", [ValueError("bug"), FileNotFoundError(errno.ENOENT, "no", "/x")])
def test_what_is_its_fault_keeps_its_traceback(command, error):
    with pytest.raises(type(error)):
        command.run(raising(error), ["a", "--out=x"])


def test_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    for asked in (["--help"], ["-h", "--rows=nonsense"], ["a", "--helpfull"]):
        assert command.run(lambda rest: pytest.fail("it ran"), asked) == 0
        out = capsys.readouterr().out
        assert (
            out
            == """usage: python -m my.module [--flag=value ...] FOLDER ...

Counts things.

What:
  --rows=N                   how many [10]
  --rate=X                   how fast [as it comes]
  --kind=plain|odd           which kind [plain]
  --budgets=A,B,...          entries to keep [20%, 5%]
  --dims=N,N,...             widths [4, 8]

Where:
  --out=PATH                 folder [required]
  --raw=PATH                 file
  --[no]resume               go on [off]
"""
        )


def test_help_of_a_command_that_is_watched_is_not_that_of_the_watcher(command):
    seen = []
    assert command.run(seen.extend, ["--out=x", "--", "other", "--help"]) == 0
    assert seen == ["other", "--help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name, capsys, monkeypatch):
    module = importlib.import_module(name)
    if hasattr(module, "use_memory_pool"):
        monkeypatch.setattr(module, "use_memory_pool", lambda: None)  # it sets the environment
    assert module.main(["--help"]) == 0
    out = capsys.readouterr().out
    shown = re.sub(
        r"^data_prep\.(\w+)\.prepare$", r"pep_tf.prepare.\1", name.removesuffix(".__main__")
    )
    assert out.startswith(f"usage: python -m {shown} [--flag=value ...]")
    listed = re.findall(r"^  --(?:\[no\])?(\w+)", out, re.M)
    assert not {"verbosity", "v", "stderrthreshold", "pdb", "flagfile"} & set(listed)
    assert set(FLAGS.get(name, "").split()) <= set(listed)
    assert len(listed) == len(set(listed))
    for line in out.splitlines():
        assert len(line) <= 100


def test_every_command_is_among_these():
    found = {
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for folder in ("pep_tf", "data_prep", "benchmarks", "experiments")
        for path in (ROOT / folder).rglob("*.py")
        if '__name__ == "__main__"' in path.read_text("utf-8")
    }
    other = {"benchmarks.serving_memory", "pep_tf.__main__"}  # serves a benchmark; names the others
    assert found - other == set(COMMANDS)


def test_what_a_command_leaves_out_is_told_again_after_it():
    command, seen = Command("my.module", "Counts.", least_level=logging.ERROR), []
    before = logging.get_verbosity()
    command.run(lambda _: seen.append(logging.get_verbosity()), [])
    assert seen == [logging.ERROR]
    assert logging.get_verbosity() == before
