"""Training with early stopping: the baseline and the retraining of tickets, by one protocol."""

import dataclasses
import pathlib
import time

import keras

from pep_tf.data import CTRData
from pep_tf.training.loop import Loop
from pep_tf.training.metrics import Evaluator, Metrics
from pep_tf.training.progress import Reporter, Silent
from pep_tf.training.settings import Settings
from pep_tf.training.weights import assign, snapshot


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What came out of `fit`.

    Attributes:
        validation, test: metrics of the epoch with the best validation AUC.
        best_epoch: that epoch, counted from 1.
        epochs: epochs trained.
        seconds: time spent, over all resumptions.
    """

    validation: Metrics
    test: Metrics
    best_epoch: int
    epochs: int
    seconds: float


def fit(
    model: keras.Model,
    data: CTRData,
    settings: Settings,
    *,
    stage: str = "fit",
    checkpoint: pathlib.Path | None = None,
    reporter: Reporter | None = None,
) -> FitResult:
    """Trains until the validation AUC has not risen for `settings.patience` epochs.

    The model is left with the weights of its best epoch. The test split is read once, at the end.

    Args:
        model: a built model that maps ids [B, F] to logits [B, 1].
        data: train, validation and test splits.
        settings: see `Settings`.
        stage: name for messages and checkpoints.
        checkpoint: file to write to every `settings.checkpoint_every` steps, and to go on from if
            it is there.
        reporter: receives the progress.

    Raises:
        RunError: a loss that is not finite, or a checkpoint that does not belong to the model.
    """
    reporter = reporter or Silent()
    loop = Loop(stage, model, settings.optimizer(model), data.train, settings)
    evaluate = Evaluator(model)
    started, best_auc, best_epoch, best = time.perf_counter(), -1.0, 0, snapshot(model)
    if checkpoint and checkpoint.exists():
        best, facts = loop.restore(checkpoint)
        best_auc, best_epoch = facts["best_auc"], facts["best_epoch"]
        started -= facts["seconds"]
    reporter.start(stage, settings.epochs * loop.batches_per_epoch, loop.step)
    while loop.epoch < settings.epochs and loop.epoch - best_epoch < settings.patience:
        every = settings.checkpoint_every
        loss = loop.run(every - loop.step % every)
        reporter.update(loop.step, loss=loss)
        if loop.batch == 0:
            auc = evaluate(data.validation).auc
            reporter.update(loop.step, epoch=loop.epoch, validation_auc=auc)
            if auc > best_auc:
                best_auc, best_epoch, best = auc, loop.epoch, snapshot(model)
        if checkpoint and loop.step % every == 0:
            seconds = time.perf_counter() - started
            facts = {"best_auc": best_auc, "best_epoch": best_epoch, "seconds": seconds}
            loop.save(checkpoint, best, facts)
    loop.optimizer.settle()
    assign(model, best)
    result = FitResult(
        evaluate(data.validation),
        evaluate(data.test),
        best_epoch,
        loop.epoch,
        time.perf_counter() - started,
    )
    reporter.finish()
    return result
