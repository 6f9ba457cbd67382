"""What a search has found, put together from its oracle and the folders of its trials."""

import dataclasses
import pathlib
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial as OracleTrial

from pep_tf.data import CTRData
from pep_tf.experiments.search_record import FrontPoint, Search, Trial
from pep_tf.training.prune import facts_of
from pep_tf.tuning.score import Objective, pareto
from pep_tf.tuning.space import describe, values_of
from pep_tf.tuning.trial import RESULT, TrialResult


def highest(records: list[Trial]) -> Trial:
    """The one with the highest score, the first of equals."""
    return max(records, key=lambda record: record.score or 0.0)


def gather(
    run_dir: pathlib.Path,
    algorithm: str,
    data: CTRData,
    objective: Objective,
    space: keras_tuner.HyperParameters,
    trials: dict[str, OracleTrial],
) -> Search:
    """Puts together what the oracle knows and what the trials left in their folders."""
    records = [_record(run_dir, trial) for trial in trials.values()]
    scored = [r for r in records if r.status == "COMPLETED"]
    candidates = [r for r in scored if r.whole] or scored
    points = [(r.id, point) for r in candidates for point in r.curve]
    front = [
        FrontPoint(id_, p.budget, p.parameters, p.validation_auc, p.nnz, p.validation_auc)
        for id_, p in pareto(points)
    ]
    best = highest(candidates).id if candidates else None
    return Search(
        algorithm=algorithm,
        objective=objective.name,
        **facts_of(data),
        budgets=list(objective.budgets),
        space=describe(space),
        trials=records,
        pareto=front,
        best=best,
    )


def _record(run_dir: pathlib.Path, trial: OracleTrial) -> Trial:
    told: dict[str, Any] = {"score": trial.score, "error": trial.message}
    if trial.status in ("COMPLETED", "FAILED"):
        result = TrialResult.load(run_dir / f"trial_{trial.trial_id}" / RESULT)
        if result:  # which is exact: a worker's report is rounded to float32 on the way
            told = {f.name: getattr(result, f.name) for f in dataclasses.fields(TrialResult)}
            del told["values_hash"]
    return Trial(trial.trial_id, trial.status, values=values_of(trial.hyperparameters), **told)
