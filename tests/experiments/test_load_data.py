"""Which split a run's seed stands for: a prepared store has one for every seed."""

import json

import pytest

from pep_tf.data.clicklogs import ClickLogOptions
from pep_tf.data.clicklogs.formats import CRITEO, default_features
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.synthetic import write_raw_text
from pep_tf.errors import DataError
from pep_tf.experiments import main
from pep_tf.experiments.load_data import load_for_seed
from tests.data.clicklogs.rows_for_tests import criteo_lines, write

FEW = {feature.name: 4 for feature in default_features(CRITEO)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("criteo")
    text = write(folder / "train.txt", criteo_lines(300))
    prepare("criteo", text, folder / "out", ClickLogOptions(buckets=FEW, seed=5))
    return folder


def loaded(dataset, data_dir, seed, **options):
    return load_for_seed(dataset, data_dir=data_dir, features="paper", seed=seed, **options)


def test_a_store_has_its_split_and_a_raw_file_that_of_the_seed(store):
    first, second = (loaded("criteo", store / "out", seed) for seed in (0, 1))
    assert first.identity == second.identity
    assert first.identity.split == {"split seed": 5}
    first, second = (loaded("criteo", store / "train.txt", seed) for seed in (0, 1))
    assert first.identity.trained_otherwise(second.identity)
    assert first.identity.content == second.identity.content


def test_a_store_of_synthetic_rows_is_named_by_the_first_seed(tmp_path):
    write_raw_text(tmp_path / "train.csv", "avazu", rows=600, num_features=500, seed=3)
    prepare("avazu", tmp_path / "train.csv", tmp_path / "out")
    given = {"num_features": 500, "first_seed": 3}
    first, second = (loaded("synthetic-avazu", tmp_path / "out", s, **given) for s in (3, 4))
    assert first.identity == second.identity
    with pytest.raises(DataError, match="seed=4"):
        loaded("synthetic-avazu", tmp_path / "out", 4, num_features=500)


def test_seeds_over_a_store_say_that_they_share_a_split(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "use_memory_pool", lambda: None)  # it sets the environment
    monkeypatch.setattr(main, "write_report", lambda folders: folders[0])
    flags = ["--dataset=criteo", f"--data_dir={store / 'out'}", "--seeds=2", "--embedding_dim=1"]
    flags += ["--epochs=1", "--prune_epochs=1", "--budgets=50%", "--no_retrain", "--updates=dense"]
    flags += ["--notensorboard", "--export_format=none", f"--run_dir={tmp_path / 'run'}"]
    assert main.main(flags) == 0
    told = capsys.readouterr()
    assert "split of the store, seed 5" in told.err
    assert "All 2 seeds share one split: the spread is over initial weights" in told.out
    rows = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {row["seed"] for row in rows} == {0, 1}
    assert len({json.dumps(row["split_md5"]) for row in rows}) == 1
    assert len({row["test_auc"] for row in rows}) > 1  # the weights differ


@pytest.mark.parametrize("hour", ["parts", "nonsense"])
def test_options_that_a_store_was_not_made_with_end_in_a_line(hour, tmp_path, monkeypatch, capsys):
    from tests.data.clicklogs.test_identity import AVAZU_LINES

    monkeypatch.setattr(main, "use_memory_pool", lambda: None)
    prepare("avazu", write(tmp_path / "train.csv", AVAZU_LINES), tmp_path / "out")
    flags = ["--dataset=avazu", f"--data_dir={tmp_path / 'out'}", f"--hour={hour}", "--dry_run"]
    assert main.main(flags) != 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert hour in err
