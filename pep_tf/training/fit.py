"""Training with early stopping: the baseline and the retraining of tickets, by one protocol."""

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import keras

from pep_tf.data.arrays import as_data
from pep_tf.distributed import agreed
from pep_tf.errors import RunError, reading
from pep_tf.paths import resolve
from pep_tf.training.inputs import check_inputs
from pep_tf.training.loop import DELETE, Loop
from pep_tf.training.metrics import Evaluator, Metrics
from pep_tf.training.progress import Reporter, Silent
from pep_tf.training.settings import Settings
from pep_tf.training.trained_on import note_trained_on
from pep_tf.training.weights import assign, snapshot


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What came out of `fit`.

    Attributes:
        validation, test: metrics of the epoch with the best validation AUC.
        best_epoch: that epoch, counted from 1.
        epochs: epochs trained.
        seconds: time spent, over all resumptions.
        history: one dict per epoch or checkpoint: step, mean loss since the one before, and at the end
            of an epoch the validation AUC.
        cut_short: whether the epochs were at an end before the patience was.
    """

    validation: Metrics
    test: Metrics
    best_epoch: int
    epochs: int
    seconds: float
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    cut_short: bool = False

    def then(self, later: "FitResult") -> "FitResult":
        """This training and the one that went on from it, as one."""
        before = self.history[-1]["step"] if self.history else 0
        return dataclasses.replace(
            later,
            best_epoch=self.epochs + later.best_epoch,
            epochs=self.epochs + later.epochs,
            seconds=self.seconds + later.seconds,
            history=[*self.history, *({**x, "step": before + x["step"]} for x in later.history)],
            cut_short=self.cut_short or later.cut_short,
        )


def fit(
    model: keras.Model,
    data: Any,
    settings: Settings,
    *,
    stage: str = "fit",
    checkpoint: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
    between: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Trains until the validation AUC has not risen for `settings.patience` epochs.

    The model is left with the weights of its best epoch. The test split is read once, at the end.

    Args:
        model: a built model that maps ids [B, F] to logits [B, 1].
        data: train, validation and test splits; or for a model that tells its `fields` what
            `from_arrays` takes.
        settings: see `Settings`.
        stage: name for messages and checkpoints.
        checkpoint: file to write to every `settings.checkpoint_every` steps, and to go on from if
            it is there.
        reporter: receives the progress.
        between: called after every few steps, with the number of steps before and after them; what it
            changes must be weights of the model.

    Raises:
        DataError: data that cannot be trained on or scored, before the first step.
        RunError: a loss that is not finite, a checkpoint that does not belong to the model or to the
            data, or a model that was trained under another mapping or on another split.

    Example:
        >>> ids = np.random.default_rng(0).integers(0, 9, (200, 1))
        >>> model = build_model("linear", {"item": 9})
        >>> found = fit(model, (ids, ids[:, 0] % 2), Settings(learning_rate=0.1, epochs=5, l2=0))
        >>> found.test.auc > 0.9
        True
    """
    data = as_data(data, getattr(model, "fields", None), settings.seed)
    check_inputs(model, data)
    note_trained_on(model, data)
    reporter = reporter or Silent()
    checkpoint = None if checkpoint is None else resolve(checkpoint)
    loop = Loop(stage, model, settings.optimizer(model), data.train, settings, data.identity)
    evaluate = Evaluator(model)
    started, best_auc, best_epoch, best = time.perf_counter(), -1.0, 0, snapshot(model)
    history: list[dict[str, float]] = []
    losses = _Mean()
    if checkpoint and agreed(checkpoint.exists()):
        best, facts = loop.restore(checkpoint, best)
        with reading(checkpoint, RunError, DELETE):
            best_auc, best_epoch = float(facts["best_auc"]), int(facts["best_epoch"])
            history = list(facts["history"])
            started -= float(facts["seconds"])
    reporter.start(stage, settings.epochs * loop.batches_per_epoch, loop.step)
    while loop.epoch < settings.epochs and loop.epoch - best_epoch < settings.patience:
        every = settings.checkpoint_every
        before = loop.step
        steps = min(settings.check_every, every - loop.step % every)
        loss = loop.run(steps)
        losses.add(loss, loop.step - before)
        if between is not None:
            between(before, loop.step)
        reporter.update(loop.step, loss=loss)
        if loop.batch == 0 or loop.step % every == 0:
            history.append({"step": loop.step, "loss": losses.take()})
        if loop.batch == 0:
            auc = evaluate(data.validation).auc
            history[-1]["validation_auc"] = auc
            reporter.update(loop.step, epoch=loop.epoch, validation_auc=auc)
            if auc > best_auc:
                best_auc, best_epoch, best = auc, loop.epoch, snapshot(model)
        if checkpoint and loop.step % every == 0:
            seconds = time.perf_counter() - started
            facts = {"best_auc": best_auc, "best_epoch": best_epoch, "history": history}
            loop.save(checkpoint, best, facts | {"seconds": seconds})
    assign(model, best)
    result = FitResult(
        evaluate(data.validation),
        evaluate(data.test),
        best_epoch,
        loop.epoch,
        time.perf_counter() - started,
        history,
        settings.is_cut_short(best_epoch, loop.epoch),
    )
    reporter.finish()
    return result


class _Mean:
    """The mean of losses over the steps since it was last taken."""

    def __init__(self) -> None:
        self._total, self._steps = 0.0, 0

    def add(self, loss: float, steps: int) -> None:
        self._total, self._steps = self._total + loss * steps, self._steps + steps

    def take(self) -> float:
        mean = self._total / self._steps
        self._total, self._steps = 0.0, 0
        return mean
