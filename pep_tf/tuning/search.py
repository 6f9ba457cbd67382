"""The command line: `python -m pep_tf.tuning.search --dataset=movielens --run_dir=runs/search`."""

import dataclasses
import pathlib
import sys
from typing import Any

import keras
import pandas as pd
import tensorflow as tf
from absl import app, flags, logging

from pep_tf.errors import PepError
from pep_tf.experiments import flags as run_flags
from pep_tf.experiments.config import PRECISIONS, Config, load_study, make_config
from pep_tf.experiments.load_data import load_for_seed
from pep_tf.experiments.placement import devices
from pep_tf.experiments.report.search import STUDY
from pep_tf.experiments.run_folder import next_run_dir
from pep_tf.experiments.terminal import TerminalReporter
from pep_tf.training import Silent, use_memory_pool
from pep_tf.tuning.oracles import ALGORITHMS
from pep_tf.tuning.record import Search
from pep_tf.tuning.run import Options, SearchRun
from pep_tf.tuning.space import TUNABLE, PruningHyperModel
from pep_tf.tuning.tuner import is_worker

_INTERRUPTED = 130


def define() -> None:
    """Defines the flags of a search, beside those of a run, which set its default configuration."""
    run_flags.define()
    default = Options()
    flags.DEFINE_string("algorithm", default.algorithm, ", ".join(ALGORITHMS))
    flags.DEFINE_integer("max_trials", default.max_trials, "trials at most")
    flags.DEFINE_string(
        "objective",
        default.objective,
        "area: under validation AUC against log of the entries kept, between the budgets; "
        "auc@0.05: at that budget",
    )
    flags.DEFINE_list("tune", list(TUNABLE), "hyperparameters to vary")
    flags.DEFINE_boolean(
        "stop_hopeless",
        default.stop_hopeless,
        "give a trial up half way if it is then below the lowest quarter of at least 4 others "
        "(not with hyperband)",
    )
    flags.DEFINE_integer(
        "max_failures", default.max_failures, "consecutive failed trials that end the search"
    )
    flags.DEFINE_float(
        "chief_timeout", default.chief_timeout, "seconds that a worker waits for its chief"
    )
    flags.DEFINE_float(
        "worker_timeout",
        default.worker_timeout,
        "seconds without a sign of life until a worker's trial goes to another",
    )


def main(argv: list[str]) -> int:
    """Runs the command line; returns its exit code."""
    use_memory_pool()
    logging.set_verbosity(logging.WARNING)
    tf.get_logger().setLevel("ERROR")  # it warns that each trial compiles a model of its own
    try:
        if argv[1:]:
            raise PepError(f"Unexpected arguments {argv[1:]}: flags look like --name=value.")
        return _run(flags.FLAGS)
    except PepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: continue with the same command and --resume", file=sys.stderr)
        return _INTERRUPTED


def _run(options: flags.FlagValues) -> int:
    study = load_study(options.config) if options.config else {}
    changes = run_flags.given()
    asked = make_config(Config.dataset, 0, study, changes)  # refuses a bad flag before any work
    data = load_for_seed(
        changes.get("dataset", study.get("dataset", Config.dataset)),
        data_dir=options.data_dir,
        features=asked.features,
        seed=asked.seed,
        **run_flags.data_options(),
    )
    config = make_config(data.name, data.train.num_rows, study, changes)
    stem = f"search-{data.name}-{config.model}"
    path = (
        pathlib.Path(options.run_dir)
        if options.run_dir
        else next_run_dir(pathlib.Path("runs"), stem, options.resume)
    )
    keras.config.set_dtype_policy(PRECISIONS[config.precision])
    where = devices(config, data.schema.num_features)
    reporter = Silent() if options.quiet else TerminalReporter(config.batch_size)
    search = SearchRun(
        PruningHyperModel(config, data, [name for name in options.tune if name]),
        path,
        dataclasses.replace(Options(), **_asked(options)),
        reporter,
        sys.argv[1:],
    )
    reporter.note(
        f"data set: {data.name}, {data.train.num_rows:,} training rows; table of {search.entries:,} "
        f"entries, budgets {', '.join(f'{b:,}' for b in search.objective.budgets)}; "
        f"device: {where}; results: {path}"
    )
    found = search(options.resume)
    if not is_worker():
        _show(found, path)
    return 0


def _asked(options: flags.FlagValues) -> dict[str, Any]:
    return {field.name: options[field.name].value for field in dataclasses.fields(Options)}


def _show(search: Search, path: pathlib.Path) -> None:
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
    print(front.to_string(index=False))
    assert search.best is not None
    best, first = search.trial(search.best), search.trials[0]
    default = "no score" if first.score is None else f"{first.score:.4f}"
    print(f"\nbest: trial {best.id}, {search.objective} {best.score:.4f}; default: {default}")
    print(f"{path / 'search.json'}: all trials")
    print(f"python -m pep_tf.experiments.main --config={path / STUDY}")


def entry() -> None:
    """Entry point of the console script."""
    define()
    app.run(main)


if __name__ == "__main__":
    entry()
