"""The command line: `python -m pep_tf.experiments.main --dataset=movielens`."""

import dataclasses
import os
import pathlib
import sys

import tensorflow as tf
from absl import app, flags, logging

from pep_tf import data as datasets
from pep_tf.errors import PepError
from pep_tf.experiments import flags as run_flags
from pep_tf.experiments.config import Config, load_study, make_config
from pep_tf.experiments.dry_run import describe
from pep_tf.experiments.results import Results, table_text
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder, next_run_dir
from pep_tf.experiments.tensorboard import TensorBoardReporter
from pep_tf.experiments.terminal import Reporters, TerminalReporter
from pep_tf.training import Silent

_INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Runs the command line; returns its exit code."""
    options = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # TensorFlow tells of every export
    try:
        if argv[1:]:
            raise PepError(f"Unexpected arguments {argv[1:]}: flags look like --name=value.")
        return _run(options)
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
    name = changes.get("dataset", study.get("dataset", Config.dataset))
    data = datasets.load(
        name,
        data_dir=options.data_dir,
        features=asked.features,
        seed=asked.seed,
        **run_flags.data_options(),
    )
    config = make_config(data.name, data.train.num_rows, study, changes)
    if options.dry_run:
        print(describe(config, data))
        return 0
    stem = f"{data.name}-{config.model}"
    path = (
        pathlib.Path(options.run_dir)
        if options.run_dir
        else next_run_dir(pathlib.Path("runs"), stem, options.resume)
    )
    folder = RunFolder(path)
    folder.open({**dataclasses.asdict(config), "data": data.details}, options.resume)
    tf.config.experimental.enable_op_determinism()
    with folder.locked():
        _say(
            f"data set: {data.name}, {data.train.num_rows:,} training rows, {data.schema.num_fields}"
            f" fields, N = {data.schema.num_features:,}; device: {device()}; results: {path}"
        )
        results = Run(config, data, folder, _reporter(options, config, path))()
    _show(results, path)
    return 0


def _reporter(options: flags.FlagValues, config: Config, path: pathlib.Path) -> Reporters:
    terminal = Silent() if options.quiet else TerminalReporter(config.batch_size)
    board = [TensorBoardReporter(path / "tensorboard")] if options.tensorboard else []
    return Reporters([terminal, *board])


def _show(results: Results, path: pathlib.Path) -> None:
    print(table_text(results))
    print(f"\n{path / 'frontier.png'}: test AUC against parameters kept")
    print(f"{path / 'export'}: a SavedModel of each ticket, for TF Serving")


def _say(message: str) -> None:
    if not flags.FLAGS.quiet:
        print(message, file=sys.stderr, flush=True)


def device() -> str:
    """The device that TensorFlow will train on."""
    if gpus := tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"CPU, {os.cpu_count()} cores"


def entry() -> None:
    """Entry point of the console script."""
    run_flags.define()
    app.run(main)


if __name__ == "__main__":
    entry()
