"""`fit` that is killed, and called again."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import pep_tf
from pep_tf.errors import ModelError, RunError
from pep_tf.training.state import load_state, save_state
from pep_tf.training.stored import stored_values, stored_variables
from tests import any_model
from tests.training.interrupted import Diary, Interrupt, assert_same


def test_killed_at_any_moment(tmp_path):
    """In the middle of an epoch, and while a backup is written."""
    command = [sys.executable, "-m", "tests.training.killed_fit", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout.splitlines()[-1]) == [[0], [-9, -9, 0]]
    whole, killed = (dict(np.load(tmp_path / x / "result.npz")) for x in ("whole", "killed"))
    assert_same(killed, whole)
    cut = [whole[f"ticket/{budget}/step"].tolist() for budget in (60, 38, 5)]
    assert cut == [[4, False], [18, False], [18, True]]  # before the kills and after
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["result.npz"]


class InterruptAt(keras.callbacks.Callback):
    """Ends `fit` after so many updates."""

    def __init__(self, updates):
        super().__init__()
        self.updates = updates

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.updates:
            raise Interrupt


def start(seed=0, optimizer=None):
    keras.utils.set_random_seed(seed)
    table = keras.layers.Embedding(any_model.WORDS, 3, name="table")
    layers = [keras.Input((4,), dtype="int32"), table, keras.layers.Flatten()]
    model = pep_tf.prunable(keras.Sequential([*layers, keras.layers.Dense(1)]))
    model.compile(optimizer or pep_tf.CoupledAdam(0.01), "mse", metrics=["mae"])
    return model


def fit(model, *callbacks, updates=None, epochs=3, batch_size=16, **told):
    """Epochs of 4 batches."""
    x, y = any_model.batch(model)
    told = {"epochs": epochs, "batch_size": batch_size, "verbose": 0, "shuffle": False, **told}
    return model.fit(x, y, callbacks=[*callbacks, InterruptAt(updates)], **told)


def state_of(model):
    return stored_values(stored_variables(model, model.optimizer))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The backup of a training that was cut off in the middle of an epoch."""
    folder = tmp_path_factory.mktemp("saved")
    with pytest.raises(Interrupt):
        fit(start(), pep_tf.Backup(folder, save_freq=1), updates=6)
    return (folder / "backup.safetensors").read_bytes()


@pytest.fixture
def path(saved, tmp_path):
    (tmp_path / "backup.safetensors").write_bytes(saved)
    return tmp_path / "backup.safetensors"


def test_rows_that_are_updated_lazily(tmp_path):
    """Whose stored values are behind, between epochs and within one."""

    def run(folder, seed, *backup, updates=None):
        rowwise = pep_tf.RowwiseAdam(0.01, dense_below=1, threshold_learning_rate=0.1)
        model = start(seed, rowwise)
        options = {"folder": tmp_path / folder, "stop": False, "reporter": Diary()}
        cut = pep_tf.PruneCallback([20, 9], -4.0, **options)
        fit(model, cut, *backup, updates=updates)
        return model, cut

    model, cut = run("whole", 0)
    for folder, updates, backup in (
        ("keras", 5, lambda: keras.callbacks.BackupAndRestore(tmp_path / "latest")),
        ("backup", 8, lambda: pep_tf.Backup(tmp_path / "backup", save_freq=3)),
    ):
        with pytest.raises(Interrupt):
            run(folder, 0, backup(), updates=updates)
        again, resumed = run(folder, 8, backup())
        assert_same(state_of(again), state_of(model))
        assert resumed.history == cut.history
        for one, other in zip(resumed.tickets, cut.tickets, strict=True):
            assert_same(one.masks(), other.masks())
            assert_same(one.initial, other.initial)
            assert_same(one.trained, other.trained)


def test_metrics_of_the_epoch_go_on(tmp_path):
    """Where several batches are passed over in one call."""

    def run(updates=None):
        model = start()
        model.compile("adam", "mse", metrics=["mae"], steps_per_execution=2)
        return fit(model, pep_tf.Backup(tmp_path, save_freq=2), updates=updates, epochs=2)

    whole = run().history
    with pytest.raises(Interrupt):
        run(updates=8)
    resumed = run().history
    assert {name: values[-1] for name, values in resumed.items()} == {
        name: values[-1] for name, values in whole.items()
    }
    assert len(resumed["loss"]) == 1


def test_random_numbers_without_a_seed_go_on(tmp_path):
    @keras.saving.register_keras_serializable(package="tests")
    class Noise(keras.layers.Layer):
        def call(self, x, training=None):
            return x + keras.random.normal(keras.ops.shape(x)) if training else x

    def run(seed, updates=None):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((4,)), Noise(), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        told = {"epochs": 2, "batch_size": 16, "verbose": 0, "shuffle": False}
        callbacks = [pep_tf.Backup(tmp_path, save_freq=1), InterruptAt(updates)]
        model.fit(np.ones((64, 4)), np.ones(64), callbacks=callbacks, **told)
        return model

    whole = run(0)
    with pytest.raises(Interrupt):
        run(0, updates=6)
    assert_same(state_of(run(1)), state_of(whole))


def test_a_backup_goes_with_the_end_of_training(tmp_path):
    model, folder = start(), tmp_path / "backup"
    fit(model, pep_tf.Backup(folder), pep_tf.PruneCallback([9], reporter=Diary()))
    assert not folder.exists()
    assert len(fit(model, pep_tf.Backup(folder), epochs=2).history["loss"]) == 2
    fit(model, pep_tf.Backup(folder, delete_checkpoint=False), epochs=2)
    assert [path.name for path in folder.iterdir()] == ["backup.safetensors"]


def test_a_later_fit_has_all_of_its_epochs(path, tmp_path):
    model = start()
    assert len(fit(model, pep_tf.Backup(tmp_path)).history["loss"]) == 2
    assert len(fit(model).history["loss"]) == 3


def test_what_else_is_in_the_folder_stays(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".backup.safetensors.99.tmp").touch()  # of a process that was killed
    fit(start(), pep_tf.Backup(tmp_path), epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_tickets_stay_in_a_folder_of_their_own(tmp_path):
    cut = pep_tf.PruneCallback([9], folder=tmp_path / "cut", reporter=Diary())
    fit(start(), pep_tf.Backup(tmp_path / "backup"), cut, epochs=1)
    assert [path.name for path in (tmp_path / "cut").glob("ticket*")] == ["ticket_9.safetensors"]


# What cannot be resumed is refused in one line.


def refused(folder, match, *callbacks, model=None, error=RunError, **told):
    model = model or start()
    with pytest.raises(error, match=match) as raised:
        fit(model, pep_tf.Backup(folder), *callbacks, **told)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("share", [0, 0.99])
def test_a_damaged_backup(share, saved, path, tmp_path):
    path.write_bytes(saved[: int(share * len(saved))])
    refused(tmp_path, "backup.safetensors is damaged or is not a backup")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"pep_tf_backup": 2}, "is not a backup of format 1"),
        ({"epoch": None}, "is damaged .*`epoch` must be a whole number.*delete it"),
        ({"call": 3}, "is damaged .*TypeError"),
    ],
)
def test_a_backup_that_says_something_else(changes, match, path, tmp_path):
    arrays, facts = load_state(path, "a backup")
    save_state(path, arrays, {**facts, **changes})
    refused(tmp_path, match)


def test_a_backup_of_something_else(path, tmp_path):
    refused(tmp_path, "of another model or optimizer", model=start(optimizer="adam"))
    refused(tmp_path, "another `fit`: steps 4, here 8", batch_size=8)
    refused(tmp_path, "of a training without a PruneCallback", pep_tf.PruneCallback([9]))
    model = start()
    model.compile(pep_tf.CoupledAdam(0.01), "mse", metrics=["mae", "mse"])
    refused(tmp_path, "of a model with other metrics", model=model)
    save_state(path, {"a": np.zeros(2)}, {"stage": "prune"})
    refused(tmp_path, "is not a backup of format 1 of this package")


def test_a_model_that_is_not_built(tmp_path):
    model = keras.Sequential([keras.layers.Embedding(9, 3), keras.layers.Flatten()])
    model.compile("adam", "mse")
    with pytest.raises(ModelError, match="must be built before `fit` with a Backup: call it on"):
        model.fit(np.zeros((4, 2)), np.zeros((4, 6)), callbacks=[pep_tf.Backup(tmp_path)])


@pytest.mark.parametrize("save_freq", [0, 1.5, "batch", True])
def test_a_bad_frequency(save_freq, tmp_path):
    with pytest.raises(RunError, match="`save_freq` must be"):
        pep_tf.Backup(tmp_path, save_freq)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot write"):
        fit(start(), pep_tf.Backup(tmp_path / "file" / "backup"))
