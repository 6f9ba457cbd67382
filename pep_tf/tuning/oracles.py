"""KerasTuner's four oracles, mended so that a search survives kills and the loss of workers.

What KerasTuner 1.4.8 does, and what is done here instead:

- Trials and oracle are in several files, written in place, so that a kill between two writes leaves a
  trial RUNNING for ever and a truncated `oracle.json` is fatal. Here one file has all of it, written
  whole once a transition.
- A trial that has ended is saved while it still counts as ongoing, and is run again. Here it leaves
  in the same transition.
- Every ongoing trial is handed out again on reload, though its worker may be alive. Here a chief
  waits for the worker first.
- A worker that is done is sent home while others may yet die. Here it waits until all have ended.
- Values and space come back from a worker rearranged. Here the oracle keeps its own.
- An error leaves the lock held, and the one at the limit of failures comes before the trial is saved.
  Here the lock is freed; the trial is saved, and the search ends.
- Seed 0 means no seed. Here it is one.
- Bayesian does not save its random state, and proposes values that were tried. Here it saves
  it, and never proposes values twice.
- Grid does not save its order and its queue: a KeyError on the first resume, then an early end.
- Hyperband has no `max_trials`; trial 0 is random, as for random and Bayesian. Here it is the default
  configuration for all.
"""

import warnings
from typing import Any

import keras_tuner
import numpy as np
import sklearn.exceptions

from pep_tf.errors import RunError
from pep_tf.tuning.durable import Durable

SCORE = "score"
# KerasTuner's default of random points before the model, three per dimension, would be a whole search here.
_INITIAL_POINTS = 5
_FACTOR = 3
_BRACKETS_FROM = 13  # trials: the largest bracket of `_FACTOR` squared units has so many


class RandomOracle(Durable, keras_tuner.oracles.RandomSearchOracle):
    """Random search; trial 0 is the default configuration."""


class BayesianOracle(Durable, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation that goes on as it would have, and tries nothing twice."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # The fit of a kernel to a handful of trials ends at a bound more often than not.
            warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
            response = super().populate_space(trial_id)
        values = response["values"]
        if values is not None and self._duplicate(values):
            return self._random_populate_space()
        return response

    def get_state(self) -> dict[str, Any]:
        kind, keys, *rest = self._random_state.get_state()
        return {**super().get_state(), "random_state": [kind, keys.tolist(), *rest]}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        kind, keys, *rest = state["random_state"]
        self._random_state.set_state((kind, np.array(keys, np.uint32), *rest))


class GridOracle(Durable, keras_tuner.oracles.GridSearchOracle):
    """Grid search that knows after a kill where it was."""

    _ordered_ids: Any

    def get_state(self) -> dict[str, Any]:
        links = self._ordered_ids
        order, index = [], links._next_index[None]
        while index is not None:
            order.append(links._memory[index])
            index = links._next_index[index]
        return {**super().get_state(), "order": order, "populate_next": self._populate_next}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._ordered_ids = type(self._ordered_ids)()
        for trial_id in state["order"]:
            self._ordered_ids.insert(trial_id)
        self._populate_next = list(state["populate_next"])


class HyperbandOracle(Durable, keras_tuner.oracles.HyperbandOracle):
    """Hyperband over shares of the pruning, in repeated brackets until `max_trials`.

    `tuner/epochs` counts in units of one `max_epochs`-th of a whole pruning.
    """

    def __init__(self, *args: Any, max_trials: int, **kwargs: Any) -> None:
        units = _FACTOR**2 if max_trials >= _BRACKETS_FROM else _FACTOR
        super().__init__(
            *args, max_epochs=units, factor=_FACTOR, hyperband_iterations=None, **kwargs
        )
        self.max_trials = max_trials


ALGORITHMS: dict[str, Any] = {
    "random": RandomOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
    "grid": GridOracle,
}


def make_oracle(
    algorithm: str,
    hyperparameters: keras_tuner.HyperParameters,
    *,
    max_trials: int,
    seed: int,
    max_failures: int = 3,
) -> Durable:
    """An oracle that maximises `"score"`.

    Args:
        algorithm: one of `ALGORITHMS`.
        hyperparameters: the declared space.
        max_trials: trials at most.
        seed: 0 or more.
        max_failures: consecutive failed trials that end the search.

    Raises:
        RunError: an unknown algorithm, or a count below 1.
    """
    if algorithm not in ALGORITHMS:
        raise RunError(
            f"`algorithm` must be one of {', '.join(ALGORITHMS)}. Received: {algorithm!r}"
        )
    for name, value in (("max_trials", max_trials), ("max_failures", max_failures)):
        if value < 1:
            raise RunError(f"`{name}` must be at least 1. Received: {value}")
    own = {"num_initial_points": _INITIAL_POINTS} if algorithm == "bayesian" else {}
    return ALGORITHMS[algorithm](
        objective=keras_tuner.Objective(SCORE, "max"),
        max_trials=max_trials,
        hyperparameters=hyperparameters,
        seed=seed + 1,  # KerasTuner takes 0 for no seed at all
        max_consecutive_failed_trials=max_failures,
        **own,
    )
