"""What a run takes is told before it is allocated, and refused where there is not so much."""

import re

import numpy as np
import pytest

from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.distributed import Group
from pep_tf.errors import RunError
from pep_tf.experiments import main
from pep_tf.experiments.config import Config
from pep_tf.experiments.dry_run import describe
from pep_tf.experiments.memory import in_words, memory_here, memory_of, refuse_too_large
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.training import Silent
from pep_tf.training.memory_pool import machine_memory
from pep_tf.tuning import tune
from tests import tiny


def huge(size: int) -> CTRData:
    """Few rows of two fields, one of which has so many features."""
    schema = FeatureSchema.of({"user": size, "hour": 4})
    labels = np.arange(20) % 2
    splits = [ArraySplit(np.zeros((20, 2), int), labels, np.arange(20)) for _ in range(3)]
    return CTRData("huge", schema, *splits)


@pytest.mark.parametrize("model", ["fm", "deepfm"])
@pytest.mark.parametrize("prune_linear", [False, True])
def test_tables_are_foretold_to_the_byte(model, prune_linear, tmp_path):
    options = {"mlp_widths": (6,)} if model == "deepfm" else {}
    config = Config(
        model=model,
        embedding_dim=4,
        prune_linear=prune_linear,
        budgets=(5,),
        dense_below=0,
        **options,
    )
    run = Run(config, tiny.DATA, RunFolder(tmp_path), Silent())
    built = run.model("threshold")
    optimizer = config.settings().optimizer(built)
    tables = {id(v) for layer in (built.embedding, built.first_order) for v in layer.weights}
    tower = [v for v in built.trainable_variables if id(v) not in tables]
    own = sum(4 * int(np.prod(v.shape)) for v in built.weights if id(v) in tables)
    state = sum(v.numpy().nbytes for v in optimizer.variables)
    found = memory_of(config, tiny.DATA.schema, 200)
    moments = sum(8 * int(np.prod(v.shape)) for v in tower)
    # Counters of steps and rates are not in it.
    assert 0 <= own + state - moments - found.tables <= 64
    assert found.copies == 16 * (4 * 5 + 8)
    if model == "deepfm":
        assert found.tower == 12 * (3 * 4 * 6 + 6)


@pytest.mark.parametrize("tables", ["replicated", "sharded"])
def test_workers_of_a_machine_are_counted(monkeypatch, tables):
    """Two of four are on it."""
    config, schema = Config(embedding_dim=4, model="deepfm", mlp_widths=(6,)), tiny.DATA.schema
    one = memory_of(config, schema, 200)
    assert memory_here(config, schema, 200) == one
    monkeypatch.setattr("pep_tf.distributed.group._group", Group(4, 1, tables, here=2))
    here = memory_here(config, schema, 200)
    assert here.tables == 2 * one.tables // (4 if tables == "sharded" else 1)
    assert (here.tower, here.batch) == (2 * one.tower, one.batch // 2)
    assert f"{here}".startswith(f"at least {in_words(here.total)} in 2 workers (")


def test_a_dry_run_of_what_the_machine_cannot_hold_tells_the_gigabytes():
    text = describe(Config(budgets=("1%",)), huge(2 * 10**9))
    assert "N = 2,000,000,004" in text
    assert re.search(
        r"memory +at least 3,\d\d\d\.\d GB \(tables with thresholds and moments 3,", text
    )
    assert f"this machine has {in_words(machine_memory())}" in text
    assert "not measured: the machine cannot hold it" in text
    assert "must keep at most 2,147,483,647 entries" in describe(Config(), huge(2 * 10**9))


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (Config(budgets=("1%",)), 2 * 10**9),
        (Config(embedding_dim=10**9, budgets=("1%",)), 100),
        (Config(model="deepfm", mlp_widths=(10**6, 10**6), budgets=("1%",)), 100),
    ],
)
def test_it_is_refused_with_the_gigabytes(config, size):
    with pytest.raises(RunError, match=r"The run takes at least [\d,.]+ GB .*; this machine has"):
        refuse_too_large(memory_of(config, huge(size).schema, 16))


def test_what_fits_is_not_refused():
    refuse_too_large(memory_of(Config(), tiny.DATA.schema, 200))


def test_a_batch_is_no_larger_than_the_rows():
    sizes = [
        memory_of(Config(batch_size=size), tiny.DATA.schema, 200).batch
        for size in (100, 200, 10**9)
    ]
    assert sizes[0] < sizes[1] == sizes[2]


def test_a_search_is_refused_alike(tmp_path):
    data = huge(2 * 10**9)
    with pytest.raises(RunError, match="this machine has"):
        tune(data, tmp_path / "s", budgets=["1%"], tune=["l2"])
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num_features=2e9", "--budgets=1%"], "The run takes at least 3,"),
        (["--num_features=4e9"], "`num_features` must be at most 2,147,483,647. Received: 4e9"),
        (["--num_features=500", "--budgets=1e6"], "at most all of the table's 32,000 entries"),
        (["--num_features=500", "--embedding_dim=1e12"], "`embedding_dim` must be at most"),
    ],
)
def test_the_command_refuses_before_a_folder_is_made(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "use_memory_pool", lambda: None)  # it sets the environment
    own = ["--dataset=synthetic-avazu", "--rows=2000", f"--run_dir={tmp_path / 'r'}"]
    assert main.main([*own, *flags]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
