"""A search whose trials take no time, and which can be killed at any of its writes."""

import pathlib
from collections.abc import Callable, Sequence

import keras_tuner

from pep_tf.tuning import state_file
from pep_tf.tuning.durable import Durable
from pep_tf.tuning.oracles import make_oracle
from pep_tf.tuning.tuner import Outcome, Task, Tuner

_MOST_KILLS = 500
TRIALS = {"random": 8, "bayesian": 8, "hyperband": 14, "grid": 8}


def space() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-2)
    hp.Float("start", -20.0, -5.0, default=-15.0)
    hp.Choice("kind", ["global", "field", "feature"], default="feature")
    return hp


def quick(task: Task) -> Outcome:
    """A smooth score in 0.5 to 1; some configurations fail."""
    hp = task.hp
    if hp.get("kind") == "field" and hp.get("start") < -18:
        return Outcome(None, "the loss became nan")
    kind = {"global": 0.0, "field": 0.05, "feature": 0.1}[hp.get("kind")]
    return Outcome(
        0.7 + kind + 0.01 * hp.get("start") / 20 - abs(hp.get("rate") - 0.02) + 0.01 * task.share
    )


def oracle(algorithm: str, trials: int | None = None, **options) -> Durable:
    options = {"seed": 0, **options}
    return make_oracle(algorithm, space(), max_trials=trials or TRIALS[algorithm], **options)


def search(
    folder: pathlib.Path,
    algorithm: str,
    work: Callable[[Task], Outcome] = quick,
    **options,
) -> Durable:
    """Searches to the end, or to a kill; goes on with what is in the folder."""
    made = oracle(algorithm, **options)
    folder.mkdir(parents=True, exist_ok=True)
    Tuner(made, folder, work).search()
    return made


def table(made: Durable) -> list[tuple]:
    """What must be the same whatever happened: (id, values, status, score)."""
    return [(t.trial_id, t.hyperparameters.values, t.status, t.score) for t in made.trials.values()]


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Killer:
    """Stands in for `state_file.save_text`, and kills before, after or in the midst of a write.

    Args:
        monkeypatch: pytest's.
        at: `at(n)`: how the n-th new write, from 1, is killed: a sequence of "before", "after" and
            "half", one an attempt at this write.
    """

    def __init__(self, monkeypatch, at: Callable[[int], Sequence[str]]) -> None:
        self.at, self.write = at, state_file.save_text
        self.pending: dict[tuple[str, str], list[str]] = {}
        monkeypatch.setattr(state_file, "save_text", self)

    def __call__(self, path: pathlib.Path, text: str) -> None:
        key = (path.name, text)
        if key not in self.pending:
            self.pending[key] = list(self.at(len(self.pending) + 1))
        moment = self.pending[key].pop(0) if self.pending[key] else None
        if moment == "before":
            raise Killed
        if moment == "half":  # on a file system that does not replace files whole
            path.write_text(text[: len(text) // 2])
            raise Killed
        self.write(path, text)
        if moment == "after":
            raise Killed


def until_done(folder: pathlib.Path, algorithm: str, **options) -> tuple[Durable, int]:
    """Starts the search again after each kill; returns its oracle and how often it was killed."""
    for kills in range(_MOST_KILLS):
        try:
            return search(folder, algorithm, **options), kills
        except Killed:
            continue
    raise AssertionError("the search makes no progress")
