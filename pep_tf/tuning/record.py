"""The record of a search, `search.json`: all trials, the Pareto front, the best."""

import dataclasses
import json
import pathlib
from typing import Any, Self

import keras_tuner
from keras_tuner.src.engine.trial import Trial

from pep_tf.data import CTRData
from pep_tf.errors import RunError
from pep_tf.paths import resolve
from pep_tf.training.prune import facts_of
from pep_tf.training.state import save_text
from pep_tf.tuning.score import Objective, Point, pareto
from pep_tf.tuning.space import describe, values_of
from pep_tf.tuning.trial import RESULT, TrialResult

_NAME = "search.json"


@dataclasses.dataclass
class TrialRecord:
    """One trial.

    Attributes:
        id, status: KerasTuner's: COMPLETED, FAILED (see `error`) or RUNNING.
        score: see `Objective`; None before the end, and if it failed.
        values: of the hyperparameters.
        curve: one point a budget, cut without retraining.
        seconds, epochs: of the pruning.
        share: of the pruning that it was asked for; below 1 on the lower rungs of Hyperband.
        stopped: whether it was given up half way (see `is_hopeless`).
    """

    id: str
    status: str
    score: float | None
    values: dict[str, Any]
    curve: list[Point]
    seconds: float
    epochs: int
    share: float
    stopped: bool
    error: str | None

    @property
    def whole(self) -> bool:
        """Whether it was scored at the end of a whole pruning."""
        return self.status == "COMPLETED" and self.share == 1 and not self.stopped


def highest(records: list[TrialRecord]) -> TrialRecord:
    """The one with the highest score, the first of equals."""
    return max(records, key=lambda record: record.score or 0.0)


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
    nnz: int
    parameters: int
    cut_validation_auc: float
    validation_auc: float
    test_auc: float | None = None


@dataclasses.dataclass
class Search:
    """What a search has found.

    Attributes:
        algorithm, objective, dataset: what was searched, and how.
        direction: `"max"`, always.
        budgets: entries to keep, in falling order.
        space: the hyperparameters by name.
        trials: in the order in which they were begun.
        pareto: tickets in falling order of their parameters.
        best: id of the trial with the highest score after a whole pruning; None if there is none.
        split_md5: of the row numbers of each split.
        data_md5: of the data's content, mapping, split and options, see `Identity`.
    """

    algorithm: str
    objective: str
    dataset: str
    budgets: list[int]
    space: dict[str, dict[str, Any]]
    trials: list[TrialRecord]
    pareto: list[FrontPoint]
    best: str | None
    split_md5: dict[str, str] = dataclasses.field(default_factory=dict)
    data_md5: dict[str, str] = dataclasses.field(default_factory=dict)
    direction: str = "max"
    kind: str = "search"

    @classmethod
    def gather(
        cls,
        run_dir: pathlib.Path,
        algorithm: str,
        data: CTRData,
        objective: Objective,
        space: keras_tuner.HyperParameters,
        trials: dict[str, Trial],
    ) -> Self:
        """Puts together what the oracle knows and what the trials left in their folders."""
        records = [_record(run_dir, trial) for trial in trials.values()]
        scored = [r for r in records if r.status == "COMPLETED"]
        candidates = [r for r in scored if r.whole] or scored
        points = [(r.id, point) for r in candidates for point in r.curve]
        front = [
            FrontPoint(id_, p.budget, p.nnz, p.parameters, p.validation_auc, p.validation_auc)
            for id_, p in pareto(points)
        ]
        best = highest(candidates).id if candidates else None
        return cls(
            algorithm=algorithm,
            objective=objective.name,
            **facts_of(data),
            budgets=list(objective.budgets),
            space=describe(space),
            trials=records,
            pareto=front,
            best=best,
        )

    def trial(self, trial_id: str) -> TrialRecord:
        """The trial of that id."""
        return next(record for record in self.trials if record.id == trial_id)

    def save(self, run_dir: pathlib.Path) -> None:
        """Writes `search.json`, whole or not at all."""
        save_text(run_dir / _NAME, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, run_dir: pathlib.Path | str) -> Self:
        """Reads `search.json` of a search folder.

        Raises:
            RunError: no such file, or one that is no search.
        """
        path = resolve(run_dir) / _NAME
        try:
            fields = json.loads(path.read_text("utf-8"))
            fields["pareto"] = [FrontPoint(**point) for point in fields["pareto"]]
            fields["trials"] = [
                TrialRecord(**{**t, "curve": [Point(**p) for p in t["curve"]]})
                for t in fields["trials"]
            ]
            return cls(**fields)
        except FileNotFoundError:
            raise RunError(f"{path} is missing: no trial of the search has ended yet.") from None
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(f"{path} is damaged or of another version: {error}") from error


def _record(run_dir: pathlib.Path, trial: Trial) -> TrialRecord:
    result = None
    if trial.status in ("COMPLETED", "FAILED"):
        result = TrialResult.load(run_dir / f"trial_{trial.trial_id}" / RESULT)
    return TrialRecord(
        id=trial.trial_id,
        status=trial.status,
        # A worker's report is rounded to float32 on the way.
        score=result.score if result else trial.score,
        values=values_of(trial.hyperparameters),
        curve=result.curve if result else [],
        seconds=result.seconds if result else 0.0,
        epochs=result.epochs if result else 0,
        share=result.share if result else 1.0,
        stopped=result.stopped if result else False,
        error=result.error if result else trial.message,
    )
