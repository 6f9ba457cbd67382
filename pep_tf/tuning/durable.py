"""An oracle of KerasTuner that survives kills and the loss of workers."""

import functools
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine.oracle import LOCKS, THREADS

from pep_tf.errors import RunError
from pep_tf.tuning import state_file


def _synchronized(method: Callable[..., Any]) -> Callable[..., Any]:
    """KerasTuner's decorator with the same locks, which also frees the lock when a call fails."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        thread = threading.current_thread().name
        if THREADS[self] == thread:
            return method(self, *args, **kwargs)
        with LOCKS[self]:
            THREADS[self] = thread
            try:
                return method(self, *args, **kwargs)
            finally:
                THREADS[self] = None

    return call


class Durable(keras_tuner.Oracle):
    """An oracle that writes each change of its state at once, and knows which workers are alive.

    Attributes:
        after_end: called after each trial that ended, and was saved.
        shared: whether several workers are served; without that, ongoing trials that are read
            back have no worker any more.
        worker_timeout: seconds without a sign of life after which a worker's trial goes to another.
        failure: why no more trials are handed out, or None.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.after_end: Callable[[], None] = lambda: None
        self.shared, self.worker_timeout = False, 120.0
        self.failure: str | None = None
        self.verbose = 0
        self._in_transition = self._changed = False
        self._heard: dict[str, float] = {}

    @_synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial for a worker: its own unfinished one, a lost one, or a new one."""
        self._requeue_lost()
        self._heard[tuner_id] = time.monotonic()
        self.failure = self._too_many_failures()
        if self.failure and tuner_id not in self.ongoing_trials:
            self.tuner_ids.discard(tuner_id)
            return Trial(self.get_space(), status=TrialStatus.STOPPED)
        with self._transition():
            trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and self.ongoing_trials:
            trial.status = TrialStatus.IDLE  # one of them may yet be lost by its worker
        return trial

    @_synchronized
    def end_trial(self, trial: Trial) -> None:
        """Records the end of a trial; does nothing for one that has ended before."""
        if trial.trial_id not in [t.trial_id for t in self.ongoing_trials.values()]:
            return
        trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
        with self._transition():
            super().end_trial(trial)
        self.after_end()

    @_synchronized
    def heard(self, tuner_id: str, trial_id: str) -> bool:
        """Takes a worker's sign of life; returns whether the trial is still its own."""
        trial = self.ongoing_trials.get(tuner_id)
        if trial is None or trial.trial_id != trial_id:
            return False
        self._heard[tuner_id] = time.monotonic()
        return True

    @_synchronized
    def finished(self) -> bool:
        """Whether no trial is running, nor waits to be run again."""
        return not self.ongoing_trials and not self._retry_queue

    def workers(self) -> dict[str, float]:
        """Seconds since each worker was heard."""
        return {tuner: time.monotonic() - at for tuner, at in self._heard.items()}

    def _requeue_lost(self) -> None:
        now = time.monotonic()
        for tuner_id in list(self.ongoing_trials):
            silent = now - self._heard.setdefault(tuner_id, now)
            if self.shared and silent > self.worker_timeout:
                self._requeue(tuner_id)
                self.save()

    def _requeue(self, tuner_id: str) -> None:
        trial = self.ongoing_trials.pop(tuner_id)
        self._heard.pop(tuner_id, None)
        trial.metrics = type(trial.metrics)()
        self._retry_queue.insert(0, trial.trial_id)  # the queue is taken from its end

    def _check_consecutive_failures(self) -> None:
        """Does nothing: `create_trial` ends the search, once the last failure has been saved."""

    def _too_many_failures(self) -> str | None:
        last = self.end_order[-self.max_consecutive_failed_trials :]
        failed = [self.trials[i] for i in last if self.trials[i].status == TrialStatus.FAILED]
        if len(failed) < self.max_consecutive_failed_trials:
            return None
        return f"{len(failed)} trials failed one after the other. The last: {failed[-1].message}"

    def _random_values(self) -> dict[str, Any] | None:
        """The default configuration for the first trial, then what KerasTuner draws."""
        if not self.start_order:
            return self._default_values()
        return super()._random_values()

    def _default_values(self) -> dict[str, Any]:
        hp = self.hyperparameters.copy()
        hp.values = {}
        for entry in hp.space:
            if hp.is_active(entry):
                hp.values[entry.name] = entry.default
        return hp.values

    @contextmanager
    def _transition(self) -> Iterator[None]:
        """Holds back KerasTuner's writes; at the end one write has all of them."""
        self._in_transition = True
        try:
            yield
        finally:
            self._in_transition = False
        if self._changed:
            self.save()

    def save(self) -> None:
        """Writes state and trials into one file, whole or not at all."""
        self._changed = self._in_transition
        if not self._in_transition:
            state_file.write(pathlib.Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        """Does nothing: `save` writes the trials, too."""

    def reload(self) -> None:
        """Reads the state back; does nothing where none was written.

        Raises:
            RunError: a state that cannot be used.
        """
        path = pathlib.Path(self._get_oracle_fname())
        state = state_file.read(path)
        if state is None:
            return
        try:
            self.set_state(state)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged or of another version: {error!r}") from error
        for tuner_id in list(self.ongoing_trials):
            if not self.shared:
                self._requeue(tuner_id)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "trials": [t.get_state() for t in self.trials.values()]}

    def set_state(self, state: dict[str, Any]) -> None:
        trials = [Trial.from_state(trial) for trial in state["trials"]]
        self.trials = {trial.trial_id: trial for trial in trials}
        super().set_state(state)
