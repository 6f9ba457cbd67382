"""The worker: takes trials from an oracle, here or at a chief, runs them and reports their scores."""

import contextlib
import dataclasses
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from pep_tf.errors import RunError
from pep_tf.tuning import chief
from pep_tf.tuning.client import ChiefClient, LostTrial
from pep_tf.tuning.durable import Durable
from pep_tf.tuning.oracles import SCORE

_SIGNS = 4  # signs of life within the time after which a silent worker counts as lost


@dataclasses.dataclass(frozen=True)
class Task:
    """A trial as it is handed to whoever runs it.

    Attributes:
        trial_id: for messages.
        hp: its values.
        folder: its own.
        share: of the pruning after which it ends; 1 but for the lower rungs of Hyperband.
        parent: folder of the trial that it continues, a lower rung of the same values; or None.
        lost: set once the trial has been given to another worker.
    """

    trial_id: str
    hp: keras_tuner.HyperParameters
    folder: pathlib.Path
    share: float
    parent: pathlib.Path | None
    lost: threading.Event


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a trial: a score, or the error that ended it."""

    score: float | None
    error: str | None = None


class Tuner(BaseTuner):
    """A KerasTuner tuner whose state is its oracle's, so that a kill at any moment can be resumed.

    Args:
        oracle: the search; a chief serves it, a worker asks the chief's instead.
        folder: of the search.
        work: runs a trial. An exception from it ends the search.
        chief_timeout: seconds that a worker waits for the chief.
        note: receives what a person should read.

    KerasTuner's environment variables make it a chief or a worker: `KERASTUNER_TUNER_ID` (that of a
    chief contains "chief"), `KERASTUNER_ORACLE_IP`, `KERASTUNER_ORACLE_PORT`.
    """

    def __init__(
        self,
        oracle: Durable,
        folder: pathlib.Path,
        work: Callable[[Task], Outcome],
        *,
        chief_timeout: float = 60.0,
        note: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._work, self._note = work, note
        self._timeout = oracle.worker_timeout
        self._units = getattr(oracle, "max_epochs", 1)
        oracle.shared = is_chief()
        super().__init__(oracle, directory=str(folder.parent), project_name=folder.name)
        if not is_worker():
            oracle.reload()
            self._units = getattr(oracle, "max_epochs", 1)
        else:
            self.oracle = ChiefClient(oracle, chief_timeout)

    def search(self) -> None:
        """Runs trials until none is left; a chief serves its workers until then.

        Raises:
            RunError: too many trials failed, the address is taken, or the chief does not answer.
        """
        if is_chief():
            chief.serve(self.oracle, self._note)
        else:
            super().search()
        if not is_worker() and self.oracle.failure:
            raise RunError(f"The search has stopped: {self.oracle.failure}")

    def _try_run_and_update_trial(self, trial: Trial, *_: Any, **__: Any) -> None:
        """Runs a trial; KerasTuner treats every exception as the trial's failure, here most end the search."""
        try:
            with self._alive(trial.trial_id) as lost:
                outcome = self._work(self._task(trial, lost))
            if outcome.error is None:
                self.oracle.update_trial(trial.trial_id, {SCORE: outcome.score})
        except LostTrial:
            self._note(f"trial {trial.trial_id}: given to another worker meanwhile, left to it")
            return
        trial.message = outcome.error
        trial.status = TrialStatus.COMPLETED if outcome.error is None else TrialStatus.FAILED

    def on_trial_end(self, trial: Trial) -> None:
        """Reports a trial that was run to its end."""
        if trial.status != TrialStatus.RUNNING:
            self.oracle.end_trial(trial)

    def _task(self, trial: Trial, lost: threading.Event) -> Task:
        values = trial.hyperparameters.values
        parent = values.get("tuner/trial_id")
        return Task(
            trial_id=trial.trial_id,
            hp=trial.hyperparameters,
            folder=self._folder(trial.trial_id),
            share=values.get("tuner/epochs", self._units) / self._units,
            parent=self._folder(parent) if parent else None,
            lost=lost,
        )

    def _folder(self, trial_id: str) -> pathlib.Path:
        return pathlib.Path(self.directory) / self.project_name / f"trial_{trial_id}"

    @contextlib.contextmanager
    def _alive(self, trial_id: str) -> Iterator[threading.Event]:
        if not is_worker():
            yield threading.Event()
            return
        with self.oracle.alive(trial_id, self._timeout / _SIGNS) as lost:
            yield lost

    def _get_tuner_fname(self) -> str:
        """A name that no file has: the only state is the oracle's, which is read separately."""
        return os.path.join(self.project_dir, "no tuner state")

    def save(self) -> None:
        """Does nothing: the oracle saves itself at each transition."""


def is_chief() -> bool:
    """Whether KerasTuner's environment variables say so."""
    return _has_chief() and "chief" in os.environ["KERASTUNER_TUNER_ID"]


def is_worker() -> bool:
    """Whether KerasTuner's environment variables name a chief that is another process."""
    return _has_chief() and not is_chief()


def _has_chief() -> bool:
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return False
    for name, what in (("ORACLE_PORT", "a port"), ("TUNER_ID", "an ID for each process")):
        if f"KERASTUNER_{name}" not in os.environ:
            raise RunError(
                f'Environment variable "KERASTUNER_ORACLE_IP" was set, but "KERASTUNER_{name}" was not. '
                f"Please specify {what}."
            )
    return True
