"""The record of a search, `search.json`: all trials, the Pareto front, the best."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Self

from pep_tf.errors import RunError
from pep_tf.experiments import typed
from pep_tf.experiments.results import with_content_md5
from pep_tf.numbers import is_number
from pep_tf.paths import resolve
from pep_tf.training.methods import METHODS, PEP
from pep_tf.training.state import save_object, without_checksum

SEARCH = "search.json"
STUDY = "best.py"  # the best configuration, for `--config`


@dataclasses.dataclass(frozen=True)
class Point:
    """One ticket of a trial as it was cut.

    Attributes:
        budget: entries asked for; a smaller table is kept whole.
        parameters: numbers in all: entries kept, first-order weights, tower.
        validation_auc: without retraining.
        nnz: entries kept.
    """

    budget: int
    parameters: int
    validation_auc: float
    nnz: int = 0


@dataclasses.dataclass
class FrontPoint:
    """A ticket that no other beats in both size and validation AUC.

    Attributes:
        trial, budget, nnz, parameters: which ticket, entries asked for and kept, numbers in all.
        cut_validation_auc: as it was cut; the front is made by this one.
        validation_auc: after retraining if it was retrained, else as it was cut.
        test_auc: after retraining, else None.
    """

    trial: str
    budget: int
    parameters: int
    validation_auc: float
    nnz: int = 0
    cut_validation_auc: float | None = None
    test_auc: float | None = None


@dataclasses.dataclass
class Trial:
    """One trial.

    Attributes:
        id, status: KerasTuner's: COMPLETED, FAILED (see `error`) or RUNNING.
        score: see `pep_tf.tuning.Objective`; None before the end, and if it failed.
        values: of the hyperparameters.
        curve: a point for each budget, cut without retraining.
        seconds, epochs: of the pruning.
        share: of the pruning that it was asked for; below 1 on the lower rungs of Hyperband.
        stopped: whether it was given up half way.
    """

    id: str
    status: str
    score: float | None = None
    values: dict[str, Any] = dataclasses.field(default_factory=dict)
    curve: list[Point] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    epochs: int = 0
    share: float = 1.0
    stopped: bool = False
    error: str | None = None

    @classmethod
    def read(cls, found: Any) -> Self:
        """Reads a trial from JSON; raises ValueError for anything else."""
        if isinstance(found, dict) and isinstance(found.get("curve"), list):
            found = {**found, "curve": [typed.read(Point, point) for point in found["curve"]]}
        return typed.read(cls, found)

    @property
    def complete(self) -> bool:
        """Whether it has a score."""
        return self.status == "COMPLETED" and is_number(self.score)

    @property
    def whole(self) -> bool:
        """Whether it was scored at the end of a whole pruning."""
        return self.complete and self.share == 1 and not self.stopped


@dataclasses.dataclass
class Search:
    """What a search has found.

    Attributes:
        algorithm, objective, dataset: what was searched, and how.
        budgets: entries to keep, in falling order.
        space: the hyperparameters by name.
        trials: in the order in which they were begun.
        pareto: tickets in falling order of their parameters.
        best: id of the trial with the highest score after a whole pruning; None if there is none.
        split_md5: of the row numbers of each split.
        content_md5, data_md5: see `Row`.
        direction: `"max"`, always.
    """

    algorithm: str
    objective: str
    dataset: str
    budgets: list[int]
    space: dict[str, dict[str, Any]]
    trials: list[Trial]
    pareto: list[FrontPoint]
    best: str | None
    split_md5: dict[str, str] = dataclasses.field(default_factory=dict)
    content_md5: str | None = None
    data_md5: dict[str, str] = dataclasses.field(default_factory=dict)
    direction: str = "max"
    kind: str = "search"

    def trial(self, trial_id: str) -> Trial:
        """The trial of that id."""
        return next(trial for trial in self.trials if trial.id == trial_id)

    def save(self, run_dir: pathlib.Path) -> None:
        """Writes `search.json`, whole or not at all."""
        save_object(run_dir / SEARCH, dataclasses.asdict(self), indent=2)

    @classmethod
    def read(cls, found: Any, left_out: list[str] | None = None) -> Self:
        """A search of a JSON file.

        Args:
            found: what the file holds.
            left_out: receives why a trial or a point of the front cannot be read; without it that is
                an error, too.

        Raises:
            ValueError: what is no search.
        """
        if not isinstance(found, dict) or found.get("kind") != "search":
            raise ValueError("it must have kind 'search'")
        parts: dict[str, list[Any]] = {"trials": [], "pareto": []}
        for name, read in (("trials", Trial.read), ("pareto", _front_point)):
            for part in found.get(name) or ():
                try:
                    parts[name].append(read(part))
                except ValueError as error:
                    if left_out is None:
                        raise
                    left_out.append(str(error))
        return typed.read(cls, {**with_content_md5(found), **parts})

    @classmethod
    def load(cls, run_dir: pathlib.Path | str) -> Self:
        """Reads `search.json` of a search folder.

        Raises:
            RunError: no such file, or one that is no search.
        """
        path = resolve(run_dir) / SEARCH
        try:
            return cls.read(without_checksum(json.loads(path.read_text("utf-8"))))
        except FileNotFoundError:
            raise RunError(f"{path} is missing: no trial of the search has ended yet.") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise RunError(f"{path} is damaged or of another version: {error}") from error


def scored_as_cut(config: Mapping[str, Any]) -> bool:
    """Whether a search scores tickets as they were cut; what other methods make is trained first.

    Args:
        config: the settings of the search.
    """
    method = config.get("method", PEP)
    return method == PEP or (method in METHODS and bool(config.get("no_retrain")))


def _front_point(found: Any) -> FrontPoint:
    return typed.read(FrontPoint, found)
