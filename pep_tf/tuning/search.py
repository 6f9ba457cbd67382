"""Searches settings of the thresholds, retrains the best tickets, and writes the best as a study file.

The command line: `python -m pep_tf.tuning.search --dataset=movielens --run_dir=runs/search`.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pep_tf.command_line import Command
from pep_tf.experiments import flags
from pep_tf.experiments.call import Call, define_how, run_command
from pep_tf.experiments.placement import devices
from pep_tf.experiments.report.commands import quoted
from pep_tf.experiments.search_record import STUDY, Search, scored_as_cut
from pep_tf.experiments.terminal import TerminalReporter
from pep_tf.paths import shown
from pep_tf.training import Silent, use_memory_pool
from pep_tf.tuning.oracles import ALGORITHMS
from pep_tf.tuning.run import NOT_SEARCHED, SearchOptions, SearchRun, check_options
from pep_tf.tuning.space import TUNABLE, PruningHyperModel
from pep_tf.tuning.tuner import is_worker

SEARCH = "pep_tf.tuning.search"
_NOT_HERE = {
    **NOT_SEARCHED,
    "dry_run": "pep_tf.experiments.main --dry_run tells what one trial of the same flags takes",
    "log_format": "a search reports as text, and search.json has all of it",
}

_OPTIONS = {
    "max_trials": "trials at most",
    "objective": "area: under validation AUC against log of the entries kept, between the budgets; "
    "auc@0.05: at that budget",
    "stop_hopeless": "give a trial up half way if it is then below the lowest quarter of at least 4 others "
    "(not with hyperband, nor another method than pep)",
    "max_failures": "consecutive failed trials that end the search",
    "chief_timeout": "seconds that a worker waits for its chief",
    "worker_timeout": "seconds without a sign of life until a worker's trial goes to another",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    use_memory_pool()
    return run_command(_command, _run, arguments)


def _command() -> Command:
    """Flags of a search, beside those of a run, which set its default configuration."""
    command = Command(
        SEARCH, __doc__, after_interrupt=": continue with the same command and --resume"
    )
    command.heading("Search")
    command.choice("algorithm", SearchOptions.algorithm, ALGORITHMS, "how the next trial is chosen")
    command.items("tune", TUNABLE, "hyperparameters to vary")
    for field in dataclasses.fields(SearchOptions):
        if field.name in _OPTIONS:
            flags.define_field(command, field, _OPTIONS[field.name])
    flags.define(command, without=NOT_SEARCHED)
    command.refuse(_NOT_HERE)
    define_how(
        command, "experiments/tuning_movielens_1m.py", "runs/search-<data set>-<model>-<number>"
    )
    return command


def _run(command: Command, arguments: Sequence[str]) -> int:
    call, given = Call(command), command.values
    names = {field.name for field in dataclasses.fields(SearchOptions)}
    searched: dict[str, Any] = {name: given[name].value for name in names}
    options = SearchOptions(**searched)
    check_options(options, names & set(command.given()))
    data = call.load(call.asked.seed)
    config = call.config(data)
    path = call.run_dir(f"search-{data.name}-{config.model}")
    where = devices(config, data.schema.num_features)
    call.check_memory(config, data)
    reporter = Silent() if given.quiet else TerminalReporter(config.batch_size)
    tune = given.tune if given["tune"].present else None
    search = SearchRun(PruningHyperModel(config, data, tune), path, options, reporter, arguments)
    reporter.note(
        f"data set: {data.name}, {data.train.num_rows:,} training rows; table of {search.entries:,} "
        f"entries, budgets {', '.join(f'{b:,}' for b in search.objective.budgets)}; "
        f"device: {where}; results: {shown(path)}"
    )
    call.warn_of_fallback(data)
    found = search(given.resume)
    if not is_worker():
        _show(found, path, search.used_up(), scored_as_cut(dataclasses.asdict(config)))
        call.warn_of_fallback(data)
    return 0


def _show(search: Search, path: pathlib.Path, used_up: str, cut: bool) -> None:
    front = pd.DataFrame(
        {
            "trial": point.trial,
            "kept": f"{point.nnz:,}",
            "parameters": f"{point.parameters:,}",
            "val AUC as cut": f"{point.cut_validation_auc:.4f}",
            "val AUC": f"{point.validation_auc:.4f}",
            "test AUC": "" if point.test_auc is None else f"{point.test_auc:.4f}",
        }
        for point in search.pareto
    )
    print(front.drop(columns=[] if cut else "val AUC as cut").to_string(index=False))
    assert search.best is not None
    best, first = search.trial(search.best), search.trials[0]
    default = "no score" if first.score is None else f"{first.score:.4f}"
    print(f"\nbest: trial {best.id}, {search.objective} {best.score:.4f}; default: {default}")
    if used_up:
        print(used_up)
    print(f"{shown(path / 'search.json')}: all trials")
    print(f"python -m pep_tf.experiments.main --config={quoted(path / STUDY)}")


if __name__ == "__main__":
    sys.exit(main())
