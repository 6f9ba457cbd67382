"""The examples: each makes its model small, and its export answers as the model does."""

import functools
import importlib
import pathlib

import keras
import numpy as np
import pytest

import pep_tf
import pep_tf.optimizers

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "report")
ROWS = {"sequential": 600, "bags": 600, "two_towers": 600, "text_classifier": 400}
# One rate and one width of the large tables in all of them: the catch-up is compiled for each.
RATE = 3e-3
RATES = {"threshold_learning_rate": 0.05, "threshold_target": 15.0}


def by_rows(learning_rate: float) -> keras.optimizers.Optimizer:
    return pep_tf.optimizers.RowwiseAdam(RATE, **RATES, dense_below=20_000)


def whole(learning_rate: float) -> keras.optimizers.Optimizer:
    return pep_tf.optimizers.CoupledAdam(RATE, **RATES)


class Stop(Exception):
    """Ends an example after its first `fit` with a callback that prunes."""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs an example on few rows; gives what it returns, and its callback that prunes."""
    # Validation is Keras's own affair, and takes a fourth of the time.
    monkeypatch.setattr(keras.Model, "evaluate", lambda *args, **kwargs: {})

    def run(name: str, optimizer, only_prune: bool = False):
        class Watched(pep_tf.PruneCallback):
            """Keeps the weights of the last step; the thresholds climb as in 200 steps."""

            def __init__(self, **options) -> None:
                super().__init__(**options, threshold_init=-6.0, steps=200)
                made.append(self)

            def on_train_end(self, logs=None) -> None:
                self.weights = self.model.get_weights()
                if only_prune:
                    raise Stop
                super().on_train_end(logs)

        made: list[Watched] = []
        with monkeypatch.context() as patch:
            patch.setattr(pep_tf, "PruneCallback", Watched)
            patch.setattr(pep_tf, "RowwiseAdam", optimizer)
            # A few steps take less time than their graph; with dropout they draw other numbers.
            if only_prune and name != "sequential":
                eager = functools.partialmethod(keras.Model.compile, run_eagerly=True)
                patch.setattr(keras.Model, "compile", eager)
            told = None
            try:
                module = importlib.import_module(f"examples.{name}")
                told = module.main(tmp_path / name, count=ROWS.get(name, 1_600), epochs=1)
            except Stop:
                assert only_prune
        return told, *made

    return run


@pytest.mark.parametrize("name", NAMES)
def test_an_example_becomes_small_and_answers_as_its_model(name, run, tmp_path):
    if name == "dlrm_keras_rs":
        pytest.importorskip("keras_rs")
    told, cut = run(name, by_rows)
    assert any(table.by_row for table in cut.model.optimizer.tables())
    assert told["largest_difference"] <= 1e-6
    assert told["bytes"] == sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())
    assert told["bytes"] < 0.4 * told["bytes_dense"]
    [ticket] = cut.tickets
    entries = sum(mask.size for mask in ticket.masks().values())
    assert ticket.nnz == sum(int(mask.sum()) for mask in ticket.masks().values()) == entries // 10
    assert told["parameters_dense"] - told["parameters"] == entries - ticket.nnz
    _, dense = run(name, whole, only_prune=True)
    for one, other in zip(cut.weights, dense.weights, strict=True):
        assert_alike(one, other, int(dense.model.optimizer.iterations))


def assert_alike(one: np.ndarray, other: np.ndarray, steps: int) -> None:
    """Weights as near as making up for skipped steps comes, 10 rates being 0.03.

    A gradient that is all rounding, such as that of a row of padding, moves an entry by up to a rate
    whichever way: one in a hundred entries may be such.
    """
    off = np.abs(one - other)
    assert off.max(initial=0) <= 2 * RATE * steps
    far = np.count_nonzero(off > 3e-4 * max(0.03, np.abs(other).max(initial=0)))
    assert far <= max(1, off.size // 100)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short(name):
    assert (FOLDER / f"{name}.py").read_text("utf-8").count("\n") < 80


def test_there_are_ten():
    assert len(NAMES) == 10
