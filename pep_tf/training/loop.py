"""The training loop: steps over shuffled epochs, which can stop and resume at any step."""

import math
import pathlib
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf import distributed
from pep_tf.data import Identity, Split
from pep_tf.device import give_up_xla, on_gpu, uses_xla
from pep_tf.differences import differs, one_line
from pep_tf.errors import DivergedError, RunError, reading
from pep_tf.numbers import whole
from pep_tf.optimizers import CoupledAdam
from pep_tf.tables.sharded_table import is_sharded
from pep_tf.training.checkpoint import load_checkpoint, save_checkpoint
from pep_tf.training.replicas import check_replicas, refuse_what_cannot_be_shared
from pep_tf.training.settings import Settings
from pep_tf.training.step import train_step
from pep_tf.training.stored import fits, restore, stored_values, stored_variables
from pep_tf.training.trained_on import refuse_to_resume
from pep_tf.training.weights import named_weights

_OF_XLA = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.InternalError)
_SAYS_XLA = re.compile("XLA|libdevice|ptxas|PTX|[Ff]ailed to compile")
_STEPS_A_CALL = 50  # steps between two looks of Python at what the graph does
_PLACE = ("epoch", "batch", "step")
DELETE = "delete it, and the stage begins anew"  # what to do about a checkpoint that is damaged


class Loop:
    """Trains a model on a split, one `run` of steps after another.

    Where it stands is `epoch`, `batch` (within the epoch) and `step` (in all). Batches are a
    function of (seed, epoch, batch), so these numbers and the variables are all of its state: what
    was saved and restored continues bit for bit on a CPU.

    Args:
        stage: name of the stage, for messages.
        model: a built model that maps ids [B, F] to logits [B, 1].
        optimizer: built for the model.
        split: rows to train on.
        settings: batch size and seed are taken from here.
        data: identity of the data set; checkpoints carry it.

    Raises:
        RunError: a model that computes in float16; on several workers, one with layers that see a
            share of a batch as all of it, weights that differ, or fewer rows in a batch than workers.
    """

    def __init__(
        self,
        stage: str,
        model: keras.Model,
        optimizer: CoupledAdam,
        split: Split,
        settings: Settings,
        data: Identity | None = None,
    ) -> None:
        _refuse_float16(model)
        self.stage, self.model, self.optimizer = stage, model, optimizer
        self.epoch = self.batch = self.step = 0
        self.batches_per_epoch = math.ceil(split.num_rows / settings.batch_size)
        self._full = min(settings.batch_size, split.num_rows)
        self._split, self._settings, self._data = split, settings, data
        self._batches: Any = None
        self._train = self._compiled()
        if (group := distributed.current()) is not None:
            refuse_what_cannot_be_shared(model, self._full, group)
            check_replicas(group, self._variables(), stage)

    def _compiled(self) -> Callable[[Any, tf.Tensor], tf.Tensor]:
        """`_train_steps` as a graph; like Keras's `fit`, without AutoGraph, which takes a second."""
        return tf.function(self._train_steps, reduce_retracing=True, autograph=False)

    def _train_steps(self, batches: Any, count: tf.Tensor) -> tf.Tensor:
        """Takes `count` batches; returns the mean of their losses."""

        def step(taken: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            loss = train_step(self.model, self.optimizer, *next(batches), full=self._full)
            return taken + 1, total + loss

        _, total = tf.while_loop(lambda taken, _: taken < count, step, (0, tf.zeros(())))
        return total / tf.cast(count, tf.float32)

    def run(self, steps: int) -> float:
        """Trains for `steps` steps, or to the end of the epoch if that comes first.

        Returns:
            Mean loss over these steps.

        Raises:
            DivergedError: a loss that is not finite; names the range of steps.
        """
        steps = min(steps, self.batches_per_epoch - self.batch)
        total, done, counted = 0.0, 0, 0
        while done < steps:
            count = min(_STEPS_A_CALL, steps - done)
            before = int(self.optimizer.iterations)
            try:
                loss = float(self._train(self._open(), tf.constant(count)))
            except _OF_XLA as error:
                count = int(self.optimizer.iterations) - before
                self._go_on_without_xla(error)
            else:
                self._check(loss, count)
                total, counted = total + loss * count, counted + count
            done += count
            self.step += count
            self.batch += count
        if self.batch == self.batches_per_epoch:
            self.epoch, self.batch, self._batches = self.epoch + 1, 0, None
        return total / max(1, counted)

    def _open(self) -> Any:
        """The batches from here on."""
        if self._batches is None:
            batches = self._split.batches(
                self._settings.batch_size,
                seed=self._settings.seed,
                epoch=self.epoch,
                start=self.batch,
            )
            self._batches = iter(batches)
        return self._batches

    def _go_on_without_xla(self, error: Exception) -> None:
        """Runs all later steps op by op, if XLA could not compile them."""
        if not (on_gpu() and uses_xla() and _SAYS_XLA.search(str(error))):
            raise error
        warnings.warn(
            f"XLA cannot compile the steps of stage '{self.stage}', which go on without it, slower: "
            f"{str(error).strip().splitlines()[0]}",
            stacklevel=3,
        )
        give_up_xla()
        self._batches = None  # a batch was taken that trained nothing
        self._train = self._compiled()

    def _check(self, loss: float, count: int) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"The loss became {loss} in stage '{self.stage}', between step {self.step} and "
                f"step {self.step + count}. The last good checkpoint is kept. "
                "Lower --learning_rate or look for outliers in the data."
            )

    def save(self, path: pathlib.Path, extra: dict[str, np.ndarray], facts: Any) -> None:
        """Writes a checkpoint: all variables, `extra` arrays and JSON-ready `facts`.

        Raises:
            RunError: it cannot be written, or the variables of the workers differ.
        """
        if (group := distributed.current()) is not None:
            check_replicas(group, self._variables(), self.stage)
        arrays = stored_values(self._variables())
        place = {name: getattr(self, name) for name in _PLACE}
        extra = {f"extra/{name}": value for name, value in extra.items()}
        save_checkpoint(
            path,
            arrays | extra,
            {
                "stage": self.stage,
                "place": place,
                "facts": facts,
                "settings": self._settings.get_config(),
                "data": self._data and self._data.get_config(),
            },
            self._sharded(),
            self.step,
        )

    def restore(
        self, path: pathlib.Path, extra: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Takes up a checkpoint; returns its extra arrays and facts.

        Args:
            path: the file.
            extra: arrays with the names and shapes of those that it must hold.

        Raises:
            RunError: a damaged file, or a checkpoint of another model, stage, settings or data.
        """
        arrays, saved = load_checkpoint(path, self._sharded())
        stage = saved.get("stage") if isinstance(saved, dict) else None
        if stage != self.stage or not fits(self._variables(), arrays):
            raise RunError(
                f"{path} is the checkpoint of another model or stage ({stage!r}, here "
                f"{self.stage!r}). Use the run folder's own configuration, or another folder."
            )
        if wrong := self._settings.difference(saved.get("settings", {})):
            changed = one_line(
                [differs(name, there, here) for name, (here, there) in wrong.items()]
            )
            raise RunError(
                f"{path} was written with other settings: {changed}. Resume with the settings of "
                "the checkpoint, or start in another folder."
            )
        if self._data is not None:
            refuse_to_resume(Identity.from_config(saved.get("data")), self._data, path)
        with reading(path, RunError, DELETE):
            place = [whole(name, saved["place"][name], least=0) for name in _PLACE]
            kept = {n: arrays[f"extra/{n}"].reshape(value.shape) for n, value in extra.items()}
            facts = saved["facts"]
        restore(self._variables(), arrays)
        self.epoch, self.batch, self.step = place
        self._batches = None
        return kept, facts

    def _variables(self) -> dict[str, keras.Variable]:
        return stored_variables(self.model, self.optimizer)

    def _sharded(self) -> set[str]:
        """Names of the checkpoint's arrays that are sharded."""
        if distributed.current() is None:
            return set()
        extra = {f"extra/{name}": v for name, v in named_weights(self.model).items()}
        return {name for name, v in (self._variables() | extra).items() if is_sharded(v)}


def _refuse_float16(model: keras.Model) -> None:
    """Refuses float16, which would need a scaled loss: small gradients silently become 0 in it."""
    layers = [x for x in model._flatten_layers() if x.weights and x.compute_dtype == "float16"]
    if layers:
        raise RunError(
            "`model` must not compute in float16, in which small gradients are 0: build it with "
            "dtype='mixed_bfloat16', or train it by Keras's compile and fit, which scale the loss. "
            f"Received: {layers[0].name!r} in {layers[0].dtype_policy.name}"
        )
