"""A training that goes on where it was killed, at any moment: `fit` with `Backup`."""

import os
import pathlib
import shutil
from typing import Any

import keras
from keras.src import random  # for the generator of random numbers without a seed of their own
from keras.src.backend.common import global_state

from pep_tf.differences import differences, one_line
from pep_tf.errors import ModelError, RunError, reading
from pep_tf.layers import build_optimizer
from pep_tf.numbers import whole
from pep_tf.paths import resolve
from pep_tf.training.first_batch import is_built
from pep_tf.training.prune_callback import prune_beside
from pep_tf.training.prune_folder import PruneFolder
from pep_tf.training.state import load_state, remove_unfinished, save_state
from pep_tf.training.stored import fits, restore, stored_values, stored_variables

_FORMAT = 1
_METRIC, _SEED = "metric/", "seed_of_keras"
_GLOBAL_SEED = random.seed_generator.GLOBAL_SEED_GENERATOR


class Backup(keras.callbacks.Callback):
    """Keeps all that `fit` goes on from: killed at any moment, the same call resumes bit for bit on a CPU.

    Holds weights and rows as they are stored, the optimizer, states of Keras's random generators, the
    epoch, the batch within it and the metrics so far; with a `PruneCallback` in the same `fit` its
    tickets and thresholds as well. It is one file, which is replaced whole. In a resumed epoch the
    batches that were trained on are read once more and passed over.

    So the data must give the same batches in an epoch each time: arrays with `shuffle=False`, or
    shuffled by a seed that depends on the epoch alone. What other callbacks remember, such as the
    best value of `EarlyStopping`, is not held.

    Args:
        folder: for the backup; each training has one of its own.
        save_freq: `"epoch"`, or the number of batches between two backups. The first batches after
            the last backup are trained once more.
        delete_checkpoint: whether the backup goes when training has ended.

    Raises:
        RunError: a backup that is damaged, of another model or of another call of `fit`; a folder that
            cannot be written. ModelError: a model that is not built.

    Example:
        >>> layers = [keras.layers.Embedding(100, 4), keras.layers.Flatten(), keras.layers.Dense(1)]
        >>> model = keras.Sequential([keras.Input((2,), dtype="int32"), *layers])
        >>> model.compile("adam", "mse")
        >>> backup = Backup("backup", save_freq=1000)
        >>> ids, labels = np.ones((8, 2)), np.ones(8)
        >>> _ = model.fit(ids, labels, shuffle=False, verbose=0, callbacks=[backup])
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        self.path = resolve(folder) / "backup.safetensors"
        self.every = None if save_freq == "epoch" else whole("save_freq", save_freq, least=1)
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs: Any = None) -> None:
        if not is_built(self.model):
            raise ModelError(
                f"{type(self.model).__name__} {self.model.name!r} must be built before `fit` with a "
                "Backup: call it on a batch first."
            )
        self._epoch, self._done, self._since = 0, 0, 0
        self._pass_over = 0  # batches of the first epoch
        self._metrics: dict[str, Any] = {}
        remove_unfinished(self.path)
        self._cut, self._pruning = prune_beside(self), False
        if self._cut is not None and self._cut.folder is None:
            self._pruning, self._cut.folder = True, PruneFolder(self._folder)
        if self.path.exists():
            self._restore()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model._initial_epoch = None  # which `fit` has heard
        self._epoch, self._done = epoch, self._pass_over
        # By now every callback has done what it does at the end of an epoch.
        if self._since >= (self.every or 1):
            self._save(0)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch < self._pass_over:
            train = self.model.train_function
            self.model.train_function = lambda batches: self._passed_over(train, batches)
        elif self.every is not None and self._since >= self.every:
            self._save(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch >= self._pass_over:
            self._since += batch + 1 - self._done
            self._done = batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._pass_over = 0

    def on_train_end(self, logs: Any = None) -> None:
        self.model._initial_epoch = None
        if not self.delete_checkpoint:
            return
        self.path.unlink(missing_ok=True)
        if self._pruning and self._cut is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._cut.folder = None  # it may end after this
        if self.path.parent.exists() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    @property
    def _folder(self) -> pathlib.Path:
        """The state of a pruning that was given no folder."""
        return self.path.parent / "pruning"

    def _variables(self) -> dict[str, keras.Variable]:
        optimizer = self.model.optimizer
        if not optimizer.built:
            build_optimizer(self.model)
        return stored_variables(self.model, optimizer)

    def _metric_variables(self) -> dict[str, keras.Variable]:
        return {f"{_METRIC}{i}": v for i, v in enumerate(self.model.metrics_variables)}

    def _call(self) -> dict[str, Any]:
        """What must be unchanged to resume in the middle of an epoch."""
        steps = (self.params or {}).get("steps")
        return {"steps": steps, "steps_per_execution": self.model.steps_per_execution}

    def _save(self, batch: int) -> None:
        """Writes the backup of this epoch after so many batches."""
        arrays = stored_values(self._variables())
        if batch:
            arrays |= stored_values(self._metric_variables())
        if (generator := global_state.get_global_attribute(_GLOBAL_SEED)) is not None:
            arrays[_SEED] = generator.state.numpy()
        facts = {
            "pep_tf_backup": _FORMAT,
            "epoch": self._epoch,
            "batch": batch,
            "pruned": self._cut is not None,
            "call": self._call(),
        }
        save_state(self.path, arrays, facts)
        self._since = 0

    def _restore(self) -> None:
        arrays, facts = load_state(self.path, "a backup")
        if not isinstance(facts, dict) or facts.get("pep_tf_backup") != _FORMAT:
            raise RunError(f"{self.path} is not a backup of format {_FORMAT} of this package.")
        with reading(self.path, RunError, "delete it, and the training begins anew"):
            epoch, batch = (whole(name, facts[name], least=0) for name in ("epoch", "batch"))
            self._compare(facts, batch)
        variables = self._variables()
        if not fits(variables, arrays):
            raise RunError(
                f"{self.path} is the backup of another model or optimizer. Use the ones that it was "
                "made with, or give another folder."
            )
        restore(variables, arrays)
        if _SEED in arrays:
            random.seed_generator.global_seed_generator().state.assign(arrays[_SEED])
        self.model._initial_epoch, self._pass_over = epoch, batch
        if self._cut is not None:
            self._cut.within_epoch = batch > 0
        self._metrics = {n: value for n, value in arrays.items() if n.startswith(_METRIC)}

    def _compare(self, facts: dict[str, Any], batch: int) -> None:
        """Refuses a backup of another call of `fit`."""
        if facts["pruned"] != (self._cut is not None):
            raise RunError(
                f"{self.path} is the backup of a training with{'' if facts['pruned'] else 'out'} a "
                "PruneCallback. Resume with the same callbacks, or give another folder."
            )
        if batch and (wrong := differences(facts["call"], self._call())):
            raise RunError(
                f"{self.path} was written in the middle of an epoch of another `fit`: "
                f"{one_line(wrong)}. Resume with the same data and batches, or give another folder."
            )

    def _passed_over(self, train: Any, batches: Any) -> dict[str, Any]:
        """Consumes the batches of a step, like `model.train_function`, without training on them."""
        self.model.train_function = train
        for _ in range(self.model.steps_per_execution):
            batch = next(batches)
        if self._metrics:
            self.model._symbolic_build(data_batch=batch)  # metrics are built by the first batch
            variables = self._metric_variables()
            if not fits(variables, self._metrics, _METRIC):
                raise RunError(f"{self.path} is the backup of a model with other metrics.")
            restore(variables, self._metrics)
            self._metrics = {}
        return self.model.get_metrics_result()
