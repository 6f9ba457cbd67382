"""Pruning in the `fit` of a model that another callback restores."""

import json
import re
import shutil

import keras
import numpy as np
import pytest

import pep_tf
from pep_tf.errors import RunError, TicketError
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import snapshot
from tests import any_model
from tests.training.interrupted import Diary, assert_same
from tests.training.test_prune_callback import EPOCHS, fitted, start


class Kill(Exception):
    """Stands for a kill."""


class KillAt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Kill


@pytest.mark.parametrize("order", [1, -1])
def test_backup_and_restore(tmp_path, order):
    whole, _ = fitted(start(), [100, 30, 5], folder=tmp_path / "whole")

    def run(seed, epoch):
        cut = pep_tf.PruneCallback([100, 30, 5], check_every=1, folder=tmp_path / "cut")
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        model = start(seed)
        model.compile(pep_tf.CoupledAdam(0.01), "mse", loss_weights=[1e-3])
        x, y = any_model.batch(model)
        callbacks = [*[cut, backup][::order], KillAt(epoch)]
        told = {"epochs": EPOCHS, "batch_size": 16, "verbose": 0, "shuffle": False}
        model.fit(x, y, callbacks=callbacks, **told)
        return cut

    with pytest.raises(Kill):
        run(0, 3)
    cut = run(seed=8, epoch=None)
    assert cut.history == whole.history
    assert [t.step for t in cut.tickets] == [t.step for t in whole.tickets]
    for one, other in zip(cut.tickets, whole.tickets, strict=True):
        assert_same(one.masks(), other.masks())
        assert_same(one.initial, other.initial)
        assert_same(one.trained, other.trained)
    with pytest.raises(RunError, match="holds a pruning that was finished"):
        run(0, None)


def test_a_restored_model_whose_pruning_was_not_kept(tmp_path):
    def run(epoch):
        model = start()
        model.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), "mse")
        x, y = any_model.batch(model)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        callbacks = [backup, pep_tf.PruneCallback([5]), KillAt(epoch)]
        model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks)

    with pytest.raises(Kill):
        run(1)
    with pytest.raises(RunError, match="restored by another callback"):
        run(None)


def test_other_budgets_than_those_of_the_folder(tmp_path):
    def run(budgets, epoch):
        model = start()
        model.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), "mse")
        x, y = any_model.batch(model)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        cut = pep_tf.PruneCallback(budgets, folder=tmp_path / "cut")
        model.fit(x, y, epochs=3, verbose=0, callbacks=[backup, cut, KillAt(epoch)])

    with pytest.raises(Kill):
        run([5], 1)
    with pytest.raises(RunError, match=r"has the budgets \[5\].*Received: \[6\]"):
        run([6], None)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a pruning that was killed, and the weights of its model."""
    folder, model = tmp_path_factory.mktemp("begun"), start()
    told = {"callbacks": [KillAt(1)]}
    with pytest.raises(Kill):
        fitted(model, [100, 5], threshold_init=-4.0, folder=folder, fit=told)
    return folder, snapshot(model)


def changed(**facts):
    """Puts other facts into the file of the beginning; None takes one out."""

    def damage(folder):
        arrays, own = load_state(folder / "start.safetensors", "a beginning")
        own = {name: value for name, value in {**own, **facts}.items() if value is not None}
        save_state(folder / "start.safetensors", arrays, own)

    return damage


def cut_off(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def progress(history):
    told = json.dumps({"history": history, "warned": False, "finished": False})
    return lambda folder: (folder / "progress.json").write_text(told)


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda folder: (folder / "start.safetensors").unlink(),),
        *(lambda folder: (folder / "progress.json").unlink(),),
        *(lambda folder: (folder / "ticket_100.safetensors").unlink(),),
        *(lambda folder: save_state(folder / "start.safetensors", {}, [1]),),
        *(lambda folder: (folder / "progress.json").write_text("[]"),),
        *(cut_off("start.safetensors", size) for size in (0, 100, 900)),
        *(cut_off("progress.json", size) for size in (0, 20)),
        cut_off("ticket_100.safetensors", 50),
        *(changed(plan=plan) for plan in (None, "x", {"start": "high"}, {"colour": 1})),
        *(changed(first=first) for first in (None, "x", -1, 99)),
        *(changed(steps=steps) for steps in (None, 0, 1.5)),
        *(progress(history) for history in ("x", None, [1], [{"nnz": 1}], [{"step": "1"}])),
        lambda folder: save_state(
            folder / "start.safetensors",
            {"another": np.zeros(2)},
            load_state(folder / "start.safetensors", "a beginning")[1],
        ),
    ],
)
def test_what_is_damaged_is_named_in_a_line(damage, begun, tmp_path):
    folder, weights = begun
    shutil.copytree(folder, tmp_path / "cut")
    kept = PruneFolder(tmp_path / "cut")

    def read():
        found = kept.beginning([100, 5], weights, 4)
        return found.first, kept.progress(4)[0][-1]["step"], len(kept.tickets([100, 5], 4))

    assert read() == (0, 4, 1)
    damage(kept.path)
    with pytest.raises((RunError, TicketError), match=re.escape(str(kept.path))) as error:
        read()
    assert "\n" not in str(error.value)


def test_killed_when_the_last_epoch_was_done(tmp_path):
    """What is not reached is cut all the same; no epoch is left to train."""

    class KillAtTheEnd(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            raise Kill

    def run(*callbacks):
        cut = pep_tf.PruneCallback([5], -9.0, folder=tmp_path / "cut", reporter=Diary())
        model = start()
        model.compile(pep_tf.CoupledAdam(0.01), "mse")
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        x, y = any_model.batch(model)
        model.fit(x, y, epochs=2, verbose=0, callbacks=[*callbacks, backup, cut])
        return cut

    with pytest.raises(Kill):
        run(KillAtTheEnd())
    (ticket,) = run().tickets
    assert (ticket.nnz, ticket.step, ticket.forced) == (5, 4, True)


def test_tickets_of_a_training_that_was_given_up_are_none_of_the_next(tmp_path):
    def run(epoch, threshold_init):
        options = {"folder": tmp_path, "reporter": Diary(), "stop": False}
        cut = pep_tf.PruneCallback([60], threshold_init, **options)
        model = start()
        model.compile(pep_tf.CoupledAdam(0.01, threshold_learning_rate=1e-9), "mse")
        x, y = any_model.batch(model)
        model.fit(x, y, epochs=3, verbose=0, callbacks=[cut, KillAt(epoch)])

    with pytest.raises(Kill):
        run(2, 5.0)
    assert len(list(tmp_path.glob("ticket_*"))) == 1
    with pytest.raises(Kill):
        run(1, -9.0)
    assert not list(tmp_path.glob("ticket_*"))
