"""Trains a baseline, prunes its table, retrains and exports the tickets, and draws the page of the run.

The command line: `python -m pep_tf.experiments.main --dataset=movielens`.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from pep_tf import distributed
from pep_tf.command_line import Command
from pep_tf.data import CTRData
from pep_tf.data.dataset import check_data
from pep_tf.device import settle_arithmetic
from pep_tf.distributed.launch import note_run_dir
from pep_tf.errors import PepError, RunError
from pep_tf.experiments import flags, together
from pep_tf.experiments.call import Call, define_how, run_command
from pep_tf.experiments.config import TF32, Config
from pep_tf.experiments.dry_run import GIGABITS, describe
from pep_tf.experiments.environment import MAIN, environment
from pep_tf.experiments.json_log import JsonReporter, results_json
from pep_tf.experiments.placement import devices
from pep_tf.experiments.report import write_report
from pep_tf.experiments.results import Results
from pep_tf.experiments.run import Run
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.experiments.seeds import run_seeds
from pep_tf.experiments.table_text import table_text
from pep_tf.experiments.tensorboard import TensorBoardReporter
from pep_tf.experiments.terminal import Reporters, TerminalReporter
from pep_tf.paths import shown
from pep_tf.training import Reporter, Silent, use_memory_pool


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    use_memory_pool()
    return run_command(
        _command,
        lambda command, given: together.run(command, given, _Main(command, given)),
        arguments,
    )


def _command() -> Command:
    command = Command(
        MAIN, __doc__, after_interrupt=": continue with the same command and --resume"
    )
    flags.define(command)
    define_how(command, "experiments/movielens_1m.py", "runs/<data set>-<model>-<number>")
    command.switch(
        "dry_run", False, "only say how many steps, how much memory and time; nothing is written"
    )
    command.choice(
        "log_format",
        "text",
        ("text", "json"),
        "progress and results as text, or one object per line",
    )
    command.real(
        "network",
        GIGABITS,
        "with --dry_run: Gb/s between machines, for what workers send",
        least=0.001,
    )
    together.define(command)
    return command


class _Main(Call):
    """One call of this command line."""

    def __init__(self, command: Command, arguments: Sequence[str]) -> None:
        super().__init__(command)
        self.arguments = arguments
        if "network" in command.given() and not self.options.dry_run:
            raise RunError("`network` has no effect without --dry_run. Leave it out.")

    def __call__(self) -> int:
        options = self.options
        data = together.one_after_the_other(lambda: self.load(self.asked.seed))
        check_data(data)  # before a folder is made for the run
        config = self.config(data)
        self.note_chosen()
        settle_arithmetic(config.precision == TF32, config.deterministic)
        where = devices(config, data.schema.num_features)
        if (group := distributed.current()) is not None:
            together.refuse(group, config, data.schema.num_features)
        if options.dry_run:
            told = describe(config, data, options.network)
            if distributed.is_leader():
                print(told)
            return 0
        self.check_memory(config, data)
        # Before a folder is made for the run.
        config.resolved_budgets(data.schema)
        config.schemes(data.schema)
        path = pathlib.Path(distributed.agreed(str(self.run_dir(f"{data.name}-{config.model}"))))
        folder = RunFolder(path)
        if group is not None:
            together.compare(group, dataclasses.asdict(config), data.identity.get_config())
        with folder.opened(dataclasses.asdict(config), data, options.resume):
            if group is not None:
                together.check_folder(group, path)
                note_run_dir(path)
            folder.note_environment(environment(self.arguments))
            self.warn_of_fallback(data)
            self._greet(data, where, path)
            results = self._train(config, data, folder)
            report = self._write_report(path)
        if not distributed.is_leader():
            return 0
        self._show(results, path, report)
        self.warn_of_fallback(data)
        return 0

    def _train(self, config: Config, data: CTRData, folder: RunFolder) -> Results:
        def reporter(prefix: str, path: pathlib.Path) -> Reporter:
            return self._reporter(config, prefix, path)

        if config.seeds == 1:
            return Run(config, data, folder, reporter("", folder.path))()
        return run_seeds(config, self.load, folder, reporter, self._write_report)

    def _reporter(self, config: Config, prefix: str, path: pathlib.Path) -> Reporters:
        if not distributed.is_leader():
            return Reporters([])
        kind: Any = JsonReporter if self.options.log_format == "json" else TerminalReporter
        terminal = Silent() if self.options.quiet else kind(config.batch_size, prefix)
        board = [TensorBoardReporter(path / "tensorboard")] if self.options.tensorboard else []
        return Reporters([terminal, *board])

    def _write_report(self, path: pathlib.Path) -> pathlib.Path | None:
        """Draws the page of a run; a failure to draw does not make the run fail."""
        if not distributed.is_leader():
            return None
        try:
            return write_report([path])
        except PepError as error:
            print(f"warning: no report: {error}", file=sys.stderr)
            return None

    def _greet(self, data: CTRData, where: str, path: pathlib.Path) -> None:
        if self.options.quiet or self.options.log_format == "json" or not distributed.is_leader():
            return
        print(
            f"data set: {data.name}, {data.train.num_rows:,} training rows, {data.schema.num_fields}"
            f" fields, N = {data.schema.num_features:,}{_split(data, self.asked.seed)}; device: {where}; "
            f"results: {shown(path)}",
            file=sys.stderr,
            flush=True,
        )

    def _show(self, results: Results, path: pathlib.Path, report: pathlib.Path | None) -> None:
        if self.options.log_format == "json":
            print(results_json(results))
            return
        print(table_text(results))
        if report:
            print(f"\n{shown(report)}: the results on a page")
        if self.asked.formats():
            seeds = path / "seeds" / "*" / "export"
            where = path / "export" if (path / "export").exists() else seeds
            kinds = {"savedmodel": "SavedModels for TF Serving", "litert": ".tflite files"}
            print(f"{shown(where)}: {' and '.join(kinds[kind] for kind in self.asked.formats())}")


def _split(data: CTRData, seed: int) -> str:
    """A note if a prepared store was split by another seed than the run's."""
    own = data.identity.split.get("split seed", seed)
    return "" if own == seed else f"; split of the store, seed {own}"


if __name__ == "__main__":
    sys.exit(main())
