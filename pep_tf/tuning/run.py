"""A search from configuration to study file: trials, Pareto front, retraining, the best."""

import dataclasses
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from pep_tf.data import CTRData
from pep_tf.data.dataset import check_data, require_data
from pep_tf.device import settle_arithmetic
from pep_tf.errors import PepError, RunError
from pep_tf.experiments.config import TF32, Config, make_config
from pep_tf.experiments.environment import environment
from pep_tf.experiments.memory import memory_of, refuse_too_large
from pep_tf.experiments.report.write import write_report
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.experiments.search_record import Search
from pep_tf.experiments.tensorboard import TensorBoardReporter
from pep_tf.experiments.terminal import Reporters
from pep_tf.numbers import read_fields
from pep_tf.paths import resolve
from pep_tf.training import Reporter, Silent
from pep_tf.training.methods import PEP
from pep_tf.tuning.board import write_hparams
from pep_tf.tuning.durable import Durable
from pep_tf.tuning.oracles import make_oracle
from pep_tf.tuning.record import gather
from pep_tf.tuning.retrain import retrain_front, write_study
from pep_tf.tuning.score import AREA, Objective
from pep_tf.tuning.space import PruningHyperModel, declared, describe
from pep_tf.tuning.trial import RESULT, PruningTrials, capped
from pep_tf.tuning.tuner import Tuner, is_chief, is_worker

_TIMEOUTS = ("chief_timeout", "worker_timeout")
# Settings of a run that have no effect on a search.
NOT_SEARCHED = {
    "seeds": "a search has one seed; give it to the run of what the search found",
    "baseline_dims": "a search trains no uniform tables",
    "export_dtype": "a search exports nothing; give it to the run of what the search found",
    "first_order_dtype": "a search exports nothing; give it to the run of what the search found",
    "export_format": "a search exports nothing; give it to the run of what the search found",
}


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Attributes:
        algorithm: random, bayesian, hyperband or grid.
        max_trials: trials at most; a search can be resumed with more.
        objective: `"area"` or `"auc@<budget>"`; see `Objective.parse`.
        stop_hopeless: give up half way what is far behind, with method pep; see `is_hopeless`.
        max_failures: consecutive failed trials that end the search.
        chief_timeout: seconds that a worker waits for its chief.
        worker_timeout: seconds without a sign of life until a worker's trial goes to another.
        tensorboard: write scalars, histograms and the HParams table.
    """

    algorithm: str = "bayesian"
    max_trials: int = 20
    objective: str = AREA
    stop_hopeless: bool = True
    max_failures: int = 3
    chief_timeout: float = 60.0
    worker_timeout: float = 120.0
    tensorboard: bool = True

    def __post_init__(self) -> None:
        """Raises RunError for a value that its field cannot have."""
        read_fields(self, {})
        for name in _TIMEOUTS:
            if getattr(self, name) <= 0:
                raise RunError(f"`{name}` must be above 0. Received: {getattr(self, name)}")


def check_options(options: SearchOptions, given: Collection[str]) -> None:
    """Refuses options that would have no effect.

    Args:
        options: of the search.
        given: names of those that were set on purpose; those that differ from their default count as
            such without it.

    Raises:
        RunError: `stop_hopeless` with hyperband, a timeout of workers where there are none.
    """
    differing = {
        f.name for f in dataclasses.fields(options) if getattr(options, f.name) != f.default
    }
    given = differing | set(given)
    if "stop_hopeless" in given and options.algorithm == "hyperband":
        raise RunError(
            "`stop_hopeless` has no effect with algorithm=hyperband, which gives trials up by itself. "
            "Leave it out."
        )
    if (names := sorted(given & set(_TIMEOUTS))) and not (is_chief() or is_worker()):
        raise RunError(
            f"`{names[0]}` has no effect on a search of one process: it is for several, which "
            "KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT and KERASTUNER_TUNER_ID tell of each other."
        )


def tune(
    data: CTRData,
    run_dir: pathlib.Path | str,
    *,
    config: Config | None = None,
    hypermodel: PruningHyperModel | None = None,
    tune: Sequence[str] | None = None,
    options: SearchOptions | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    check_memory: bool = True,
    **changes: Any,
) -> Search:
    """Searches threshold settings, retrains the Pareto front, writes the best as a study file.

    Args:
        data: the data set.
        run_dir: folder of the search; shared by chief and workers.
        config: the default configuration, trial 0; by default the data set's.
        hypermodel: a search space of your own in place of `config`, `tune` and fields of `config`; see
            `PruningHyperModel`.
        tune: names of the hyperparameters to vary; None for all.
        options: see `SearchOptions`.
        resume: continue the search in `run_dir`.
        reporter: receives the progress.
        check_memory: refuses to start what takes more memory than the machine has.
        **changes: fields of `options` or of `config` that differ.

    Returns:
        All trials, the front, the best. A worker returns what is known when its chief ends it.

    Raises:
        DataError: data that cannot be trained on or scored, before the first trial.
        RunError: a mistake that the user can mend; found before any training where possible.

    Example:
        >>> tune(data, "runs/search", max_trials=8, budgets=["10%", "1%"])  # doctest: +SKIP
    """
    require_data(data)
    names = {field.name for field in dataclasses.fields(SearchOptions)}
    asked = {name: value for name, value in changes.items() if name in names}
    rest = {name: value for name, value in changes.items() if name not in names}
    options = dataclasses.replace(options or SearchOptions(), **asked)
    check_options(options, asked)
    if no_effect := sorted(set(rest) & set(NOT_SEARCHED)):
        raise RunError(f"`{no_effect[0]}` has no effect here: {NOT_SEARCHED[no_effect[0]]}.")
    if hypermodel is None:
        base = dataclasses.asdict(config) if config else {}
        config = make_config(data.name, data.train.num_rows, base, rest, given=rest)
        hypermodel = PruningHyperModel(config, data, tune)
    elif config or rest or tune is not None:
        raise RunError(
            "`hypermodel` has a configuration and a space of its own: give them to it, not beside it."
        )
    if check_memory:
        refuse_too_large(memory_of(hypermodel.base, data.schema, data.train.num_rows))
    search = SearchRun(hypermodel, resolve(run_dir), options, reporter or Silent())
    return search(resume)


class SearchRun:
    """One search in its folder.

    Args:
        hypermodel: the space, around the default configuration.
        run_dir: the folder, absolute.
        options: see `SearchOptions`.
        reporter: receives the progress.
        arguments: flags of the command line that asked for it; None when called from Python.

    Raises:
        RunError: an empty space, a bad budget, objective or option.
    """

    def __init__(
        self,
        hypermodel: PruningHyperModel,
        run_dir: pathlib.Path,
        options: SearchOptions,
        reporter: Reporter,
        arguments: Sequence[str] | None = None,
    ) -> None:
        check_data(hypermodel.data)
        self.arguments = arguments
        self.hypermodel, self.data = hypermodel, hypermodel.data
        self.run_dir, self.options, self.reporter = run_dir, options, reporter
        self.config = hypermodel.base
        if options.algorithm == "hyperband" and self.config.method != PEP:
            raise RunError(
                "`algorithm` must be random, bayesian or grid: hyperband begins with a part of a pruning, "
                f"which method={self.config.method} has not."
            )
        self.entries = self.config.entries(self.data.schema.num_features)
        self.objective = Objective.parse(options.objective, self.config.budgets, self.entries)
        self.space = declared(hypermodel)
        self.oracle = self._oracle()

    def _oracle(self) -> Durable:
        options = self.options
        oracle = make_oracle(
            options.algorithm,
            self.space,
            max_trials=options.max_trials,
            seed=self.config.seed,
            max_failures=options.max_failures,
        )
        oracle.worker_timeout = options.worker_timeout
        oracle.after_end = self._after_trial
        return oracle

    def __call__(self, resume: bool) -> Search:
        """Searches, or goes on with it."""
        settle_arithmetic(self.config.precision == TF32, self.config.deterministic)
        on = self.options.tensorboard
        board = [TensorBoardReporter(self.run_dir / "tensorboard")] if on else []
        trials = PruningTrials(
            self.hypermodel,
            self.data,
            self.objective,
            reporter=Reporters([self.reporter, *board]),
            stop_hopeless=self.options.stop_hopeless and self.options.algorithm != "hyperband",
            keep_checkpoints=self.options.algorithm == "hyperband",
        )
        if is_worker():
            self._tuner(trials).search()
            return Search.load(self.run_dir)
        folder = RunFolder(self.run_dir)
        with folder.opened(self._asked(), self.data, resume):
            folder.note_environment(environment(self.arguments, "pep_tf.tuning.search"))
            self._tuner(trials).search()
            if used_up := self.used_up():
                self.reporter.note(used_up)
            return self._finish()

    def used_up(self) -> str:
        """Why the search ended before `max_trials`; empty if it did not."""
        tried, most = len(self.oracle.trials), self.options.max_trials
        if tried >= most:
            return ""
        return (
            f"the search ended after {tried} of at most {most} trials: nothing of its space is left to "
            "try. A wider one (`tune`) would take more."
        )

    def _tuner(self, trials: PruningTrials) -> Tuner:
        tuner = Tuner(
            self.oracle,
            self.run_dir,
            trials,
            chief_timeout=self.options.chief_timeout,
            note=self.reporter.note,
        )
        if is_worker():
            tuner.oracle.get_space()  # answers once the chief has opened the folder
            self._check_folder()
        return tuner

    def _asked(self) -> dict[str, Any]:
        """What must be unchanged to resume a search, besides the data."""
        options = dataclasses.asdict(self.options)
        return {
            **dataclasses.asdict(self.config),
            "search": {
                **{name: options[name] for name in ("algorithm", "objective", "stop_hopeless")},
                "space": describe(self.space),
            },
        }

    def _check_folder(self) -> None:
        """Raises RunError unless a worker's folder is its chief's, and for the same search."""
        path = self.run_dir / "config.json"
        if not path.exists():
            raise RunError(
                f"{path} is missing, though the chief answers: chief and workers must be given the "
                "same --run_dir, on a file system that they share."
            )
        RunFolder(self.run_dir).open(self._asked(), self.data, resume=True)

    def _gather(self) -> Search:
        return gather(
            self.run_dir,
            self.options.algorithm,
            self.data,
            self.objective,
            self.space,
            self.oracle.trials,
        )

    def _after_trial(self) -> None:
        search = self._gather()
        search.save(self.run_dir)
        if self.options.tensorboard:
            write_hparams(search, self.run_dir / "tensorboard")
        self.reporter.note(_line(search, self.oracle.end_order[-1], self.options.max_trials))

    def _finish(self) -> Search:
        search = self._gather()
        for trial in search.trials:
            if trial.status == "COMPLETED" and not trial.curve:
                raise RunError(
                    f"{self.run_dir / f'trial_{trial.id}' / RESULT} is missing or damaged, though the "
                    "trial has ended. Bring it back, or search in another folder."
                )
        if search.best is None:
            search.save(self.run_dir)
            raise RunError("No trial of the search has come to a score; see the errors above.")
        configs = {point.trial: self._config(point.trial) for point in search.pareto}
        write_study(search, self._config(search.best), self.data, self.run_dir)
        if not self.config.no_retrain:
            retrain_front(search, configs, self.data, self.run_dir, self.reporter)
        search.save(self.run_dir)
        try:
            write_report([self.run_dir])
        except PepError as error:  # that it cannot be drawn must not make the search fail
            self.reporter.note(f"warning: no report: {error}")
        return search

    def _config(self, trial_id: str) -> Config:
        """The configuration of a trial, its budgets as counts."""
        hp = self.oracle.trials[trial_id].hyperparameters
        return capped(self.hypermodel.config(hp), self.data, self.objective)


def _line(search: Search, trial_id: str, max_trials: int) -> str:
    """The line that is printed after a trial."""
    trial = search.trial(trial_id)
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.values.items()
    )
    ended = sum(record.status in ("COMPLETED", "FAILED") for record in search.trials)
    if trial.score is None:
        came_to = f"failed: {trial.error}"
    else:
        came_to = f"{search.objective} {trial.score:.4f}"
        came_to += " (given up half way)" if trial.stopped else ""
    best = (
        f"; best {search.trial(search.best).score:.4f}, trial {search.best}" if search.best else ""
    )
    return f"trial {trial.id} ({ended} of {max_trials}): {came_to}, {trial.seconds:.0f} s{best}; {values}"
