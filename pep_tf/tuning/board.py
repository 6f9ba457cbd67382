"""The table of all trials in TensorBoard: HParams."""

import pathlib

import tensorflow as tf
from tensorboard.plugins.hparams import api

from pep_tf.experiments.search_record import Search

_SCORE = "score"


def write_hparams(search: Search, folder: pathlib.Path) -> None:
    """Writes the trials that have ended, each once: `<folder>/trial_<id>/` has scalars and values.

    Args:
        search: the trials.
        folder: for `tensorboard --logdir`.
    """
    if not (folder / "hparams").exists():
        with tf.summary.create_file_writer(str(folder / "hparams")).as_default():
            api.hparams_config(
                hparams=[api.HParam(name) for name in search.space],
                metrics=[api.Metric(_SCORE, display_name=search.objective)]
                + [api.Metric(_auc(budget)) for budget in search.budgets],
            )
    for trial in search.trials:
        run = folder / f"trial_{trial.id}" / "result"
        if trial.status != "COMPLETED" or run.exists():
            continue
        with tf.summary.create_file_writer(str(run)).as_default(step=0):
            api.hparams(trial.values, trial_id=f"trial_{trial.id}")
            assert trial.score is not None
            tf.summary.scalar(_SCORE, trial.score)
            for point in trial.curve:
                tf.summary.scalar(_auc(point.budget), point.validation_auc)


def _auc(budget: int) -> str:
    return f"validation_auc_at_{budget}"
