"""One trial: a pruning run, its tickets cut at each budget and evaluated without retraining."""

import dataclasses
import hashlib
import json
import math
import pathlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any, Self

from pep_tf import training
from pep_tf.data import CTRData
from pep_tf.errors import DivergedError, RunError
from pep_tf.experiments.config import NONE, Config
from pep_tf.experiments.run import Run, other_parameters
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.experiments.search_record import Point
from pep_tf.experiments.terminal import Reporters
from pep_tf.training import Reporter, Silent
from pep_tf.training.methods import PEP
from pep_tf.training.state import load_state, replacing, save_object, without_checksum
from pep_tf.tuning.client import LostTrial
from pep_tf.tuning.hopeless import HALF, is_hopeless
from pep_tf.tuning.retrain import note_retrained
from pep_tf.tuning.score import Objective
from pep_tf.tuning.space import PruningHyperModel, run_of, values_of
from pep_tf.tuning.tuner import Outcome, Task

RESULT = "result.json"
CHECKPOINT = "checkpoint.safetensors"  # the name that `prune` gives it
_HALF = "half.json"


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """The result that a trial left in its folder.

    Attributes:
        values_hash: of the values it was made with.
        curve: one point per budget, in falling order; empty if it failed.
        score: None if it failed.
        epochs: of pruning.
        seconds: spent, over all resumptions, a lower rung's included.
        stopped: whether it was given up half way.
        share: of the pruning that it was asked for.
        error: why it failed, or None.
    """

    values_hash: str
    curve: list[Point]
    score: float | None
    epochs: int
    seconds: float
    stopped: bool = False
    share: float = 1.0
    error: str | None = None

    def save(self, path: pathlib.Path) -> None:
        """Writes it, whole or not at all."""
        save_object(path, dataclasses.asdict(self), indent=2)

    @classmethod
    def load(cls, path: pathlib.Path) -> Self | None:
        """Reads it; None where there is none that can be read."""
        try:
            fields = without_checksum(json.loads(path.read_text("utf-8")))
            curve = [Point(**point) for point in fields.pop("curve")]
            return cls(curve=curve, **fields)
        except (OSError, ValueError, TypeError, KeyError):
            return None


def values_hash(values: dict[str, Any]) -> str:
    """Names a configuration: 16 hexadecimal digits that depend on its names and values alone."""
    text = json.dumps(values, sort_keys=True, default=float)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class PruningTrials:
    """Runs trials on a data set.

    A trial that was cut off goes on from its checkpoint; one whose result is there is not run again.

    Args:
        hypermodel: gives the configuration and the model of a trial.
        data: the data set.
        objective: budgets, and the score of the tickets cut at them.
        reporter: receives the progress of all trials.
        stop_hopeless: give up trials half way that are far behind; see `is_hopeless`.
        keep_checkpoints: so that a higher rung can continue a trial.
    """

    def __init__(
        self,
        hypermodel: PruningHyperModel,
        data: CTRData,
        objective: Objective,
        *,
        reporter: Reporter | None = None,
        stop_hopeless: bool = True,
        keep_checkpoints: bool = False,
    ) -> None:
        self.hypermodel, self.data, self.objective = hypermodel, data, objective
        self.reporter = reporter or Silent()
        self.stop_hopeless, self.keep_checkpoints = stop_hopeless, keep_checkpoints

    def __call__(self, task: Task) -> Outcome:
        """Runs a trial, or takes it up again."""
        identity = values_hash(values_of(task.hp))
        path = task.folder / RESULT
        result = TrialResult.load(path)
        if result is None or (result.values_hash, result.share) != (identity, task.share):
            _prepare(task, identity)
            result = self._run(task, identity)
            result.save(path)
        if not self.keep_checkpoints:
            (task.folder / CHECKPOINT).unlink(missing_ok=True)
        return Outcome(result.score, result.error)

    def _run(self, task: Task, identity: str) -> TrialResult:
        try:
            if self.hypermodel.base.method != PEP:
                return self._train(task, identity)
            if self.stop_hopeless and task.share == 1 and task.parent is None:
                half = TrialResult.load(task.folder / _HALF)
                if half is None or half.values_hash != identity:
                    half = self._prune(task, identity, HALF)
                    half.save(task.folder / _HALF)
                assert half.score is not None
                if is_hopeless(half.score, _others_half_way(task.folder)):
                    return half
            return self._prune(task, identity, task.share)
        except DivergedError as error:
            return TrialResult(identity, [], None, 0, 0.0, share=task.share, error=str(error))

    def _prune(self, task: Task, identity: str, share: float) -> TrialResult:
        """Prunes for a share of the epochs, cuts there, and scores the cuts."""
        config = capped(self.hypermodel.config(task.hp), self.data, self.objective)
        model = self.hypermodel.build(task.hp)
        name = f"trial_{task.trial_id}"
        result = training.prune(
            model,
            self.data,
            run_of(config, self.data).settings,
            config.budgets,
            folder=task.folder,
            reporter=_Watched(self.reporter, name, task.lost),
            until=math.ceil(share * config.prune_epochs),
            run_id=identity,
        )
        points = {point.nnz: point for point in self._evaluated(result.tickets)}
        curve = [
            dataclasses.replace(points[min(budget, max(points))], budget=budget)
            for budget in self.objective.budgets
        ]
        return TrialResult(
            identity,
            curve,
            self.objective.score(curve),
            result.epochs,
            result.seconds,
            stopped=share < task.share,
            share=task.share,
        )

    def _train(self, task: Task, identity: str) -> TrialResult:
        """Trains the smaller tables of another method, retrained tickets too, as a run does; scores these."""
        config = capped(self.hypermodel.config(task.hp), self.data, self.objective)
        config = dataclasses.replace(config, export_format=NONE)
        name, folder = f"trial_{task.trial_id}", RunFolder(task.folder / identity)
        reporter = _Watched(self.reporter, name, task.lost)
        rows = Run(config, self.data, folder, reporter).smaller()
        points = [Point(row.budget, row.parameters, row.validation_auc, row.nnz) for row in rows]
        curve = [
            dataclasses.replace(
                max((p for p in points if p.nnz <= budget), key=lambda p: p.nnz), budget=budget
            )
            for budget in self.objective.budgets
        ]
        if not config.no_retrain:
            for row in rows:  # what `retrain` would do of the front
                note_retrained(
                    task.folder.parent, task.trial_id, row.nnz, row.validation_auc, row.test_auc
                )
        shutil.rmtree(folder.work, ignore_errors=True)
        epochs, seconds = (sum(getattr(row, of) for row in rows) for of in ("epochs", "seconds"))
        return TrialResult(identity, curve, self.objective.score(curve), int(epochs), seconds)

    def _evaluated(self, tickets: list[training.Ticket]) -> Iterator[Point]:
        """The tickets as they were cut."""
        for ticket in tickets:
            model = ticket.model("trained")
            auc = training.Evaluator(model)(self.data.validation).auc
            covered = [model.embedding, model.first_order][: len(ticket.tables)]
            others = sum(other_parameters(model, covered))
            yield Point(ticket.budget, ticket.nnz + others, auc, ticket.nnz)


def capped(config: Config, data: CTRData, objective: Objective) -> Config:
    """The configuration with its budgets as counts; what is larger than its table keeps all of it."""
    entries = config.entries(data.schema.num_features)
    counts = sorted({min(budget, entries) for budget in objective.budgets}, reverse=True)
    return dataclasses.replace(config, budgets=tuple(str(count) for count in counts))


def _prepare(task: Task, identity: str) -> None:
    """Removes what another trial left in the folder, and brings what a lower rung left in its own."""
    checkpoint = task.folder / CHECKPOINT
    if checkpoint.exists() and _identity(checkpoint) != identity:
        shutil.rmtree(task.folder)
    if checkpoint.exists() or task.parent is None:
        return
    # Where the lower rung's files are out of reach, the trial starts over, with the same result.
    for source in [*sorted(task.parent.glob("ticket_*.safetensors")), task.parent / CHECKPOINT]:
        if source.exists():
            with replacing(task.folder / source.name) as copy:
                shutil.copyfile(source, copy)


def _identity(checkpoint: pathlib.Path) -> str | None:
    """The hash that a checkpoint carries; None for a damaged one."""
    try:
        return load_state(checkpoint, "a checkpoint")[1]["facts"]["run_id"]
    except (RunError, KeyError, TypeError):
        return None


def _others_half_way(folder: pathlib.Path) -> list[float]:
    """Scores half way of the other trials beside `folder`."""
    halves = [
        TrialResult.load(path)
        for path in sorted(folder.parent.glob(f"trial_*/{_HALF}"))
        if path.parent != folder
    ]
    return [half.score for half in halves if half is not None and half.score is not None]


class _Watched(Reporters):
    """A reporter under the trial's name, which ends a trial that was given to another worker.

    Notes are left out: they advise on flags, which the search sets.
    """

    def __init__(self, reporter: Reporter, name: str, lost: threading.Event) -> None:
        super().__init__([reporter])
        self._name, self._lost = name, lost

    def start(self, stage: str, total_steps: int, done_steps: int = 0) -> None:
        super().start(self._name, total_steps, done_steps)

    def update(self, step: int, **values: Any) -> None:
        if self._lost.is_set():
            raise LostTrial
        super().update(step, **values)

    def note(self, message: str) -> None: ...
