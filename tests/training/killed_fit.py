"""A training with `Backup` that is killed and called again: `python -m tests.training.killed_fit FOLDER`.

Each call is a process of its own, forked where TensorFlow is imported but has not begun to work.
"""

import json
import os
import pathlib
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

import pep_tf
from pep_tf.training import Silent
from pep_tf.training.stored import stored_values, stored_variables
from tests import any_model

EPOCHS, BATCHES, SIZE = 3, 6, 10


class Epochs(keras.callbacks.Callback):
    """Gives batches that depend on the epoch alone."""

    now = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def data(self):
        def batches():
            for batch in range(BATCHES):
                named, labels = any_model.rows(SIZE, seed=100 * self.now + batch)
                yield {name: named[name] for name in ("user", "item")}, labels[:, None]

        ids = tf.TensorSpec([SIZE], tf.int32)
        signature = ({"user": ids, "item": ids}, tf.TensorSpec([SIZE, 1]))
        data = tf.data.Dataset.from_generator(batches, output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(BATCHES))


class Kill(keras.callbacks.Callback):
    """Kills the process after so many updates, or before its n-th backup takes its place."""

    def __init__(self, updates=None, write=None):
        super().__init__()
        self.updates, self.writes, replace = updates, 0, os.replace

        def replaced(source, target):
            self.writes += pathlib.Path(target).name == "backup.safetensors"
            self.kill(self.writes == write)
            replace(source, target)

        os.replace = replaced

    def kill(self, now):
        if now:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, batch, logs=None):
        self.kill(int(self.model.optimizer.iterations) == self.updates)


def model_of(seed):
    """A compiled model with dropout and two tables."""
    keras.utils.set_random_seed(seed)
    given = any_model.inputs("user", "item")
    user = keras.layers.Embedding(any_model.USERS, 4, name="user_table")(given["user"])
    item = keras.layers.Embedding(any_model.ITEMS, 3, name="item_table")(given["item"])
    hidden = keras.layers.Dropout(0.3)(keras.layers.Concatenate()([user, item]))
    model = pep_tf.prunable(keras.Model(given, keras.layers.Dense(1)(hidden)))
    model.compile(pep_tf.CoupledAdam(0.01, threshold_learning_rate=0.1), "mse", metrics=["mae"])
    return model


def train(folder, **kill):
    """Trains, perhaps to a kill; writes what came out to `result.npz`."""
    epochs = Epochs()
    model = model_of(seed=8 if (folder / "backup").exists() else 0)
    cut = pep_tf.PruneCallback(
        [60, 38, 5], threshold_init=-5.0, check_every=2, reporter=Silent(), stop=False
    )
    backup = pep_tf.Backup(folder / "backup", save_freq=4)
    callbacks = [epochs, backup, cut, Kill(**kill)]
    told = {"epochs": EPOCHS, "verbose": 0, "shuffle": False}
    history = model.fit(epochs.data(), callbacks=callbacks, **told).history
    found = stored_values(stored_variables(model, model.optimizer))
    found |= {f"log/{name}": np.array(value[-1]) for name, value in history.items()}
    found |= {f"seen/{i}": np.array(list(x.values())) for i, x in enumerate(cut.history)}
    for ticket in cut.tickets:
        kept = {**ticket.masks(), **ticket.initial, "step": [ticket.step, ticket.forced]}
        trained = {f"trained/{name}": value for name, value in ticket.trained.items()}
        found |= {f"ticket/{ticket.budget}/{n}": v for n, v in {**kept, **trained}.items()}
    np.savez(folder / "result.npz", **found)


def run(folder, *kills):
    """A training called anew after each kill, to its end; how the processes ended."""
    ends = []
    for kill in (*kills, {}):
        if not (child := os.fork()):
            folder.mkdir(parents=True, exist_ok=True)
            train(folder, **kill)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ends


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    whole = run(folder / "whole")
    print(json.dumps([whole, run(folder / "killed", {"updates": 9}, {"write": 1})]))
