"""One call of a command that trains: what its study file and its flags ask for."""

import pathlib
import sys
from collections.abc import Callable, Sequence

import tensorflow as tf

from pep_tf import plugins
from pep_tf.command_line import Command, refuse
from pep_tf.data import CTRData
from pep_tf.distributed import is_leader
from pep_tf.errors import PepError
from pep_tf.experiments import flags
from pep_tf.experiments.config import Config, chosen_by_bytes, load_study, make_config
from pep_tf.experiments.json_log import JsonReporter
from pep_tf.experiments.load_data import fallback_line, load_for_seed
from pep_tf.experiments.memory import memory_here, refuse_too_large
from pep_tf.experiments.run_folder import next_run_dir
from pep_tf.paths import resolve
from pep_tf.plugins import load_plugins


def run_command(
    define: Callable[[], Command],
    work: Callable[[Command, list[str]], int],
    arguments: Sequence[str] | None,
) -> int:
    """Runs a command that trains; returns its exit code.

    Args:
        define: makes it with its flags, after plug-ins have added to their choices.
        work: called once its flags have been read, with all arguments.
        arguments: of the command line; None for those of this process.
    """
    tf.get_logger().setLevel(
        "ERROR"
    )  # it warns that each stage and trial traces a model of its own
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        load_plugins(given)
    except PepError as error:
        return refuse(error)
    command = define()
    return command.run(lambda _: work(command, given), given)


def define_how(command: Command, study: str, folder: str) -> None:
    """Defines the flags that all training commands share.

    Args:
        command: gets them.
        study: a study file, as an example.
        folder: the folder of results by default, for the help.
    """
    command.heading(flags.HOW)
    command.path("config", None, f"study file, for example {study}")
    command.items(plugins.FLAG, None, plugins.ABOUT)
    command.path("run_dir", None, "folder of the results", shown=folder)
    command.switch("resume", False, "continue what is in --run_dir, or in the latest folder")
    command.switch("quiet", False, "no progress, only the results")
    command.switch("tensorboard", True, "write TensorBoard scalars, histograms and HParams")
    command.switch(
        "check_memory", True, "refuse to start what takes more memory than the machine has"
    )


class Call:
    """What a command line asks for.

    Args:
        command: after it has read its flags.

    Raises:
        RunError: a bad study or flag, before any work.

    Attributes:
        options: values of the flags.
        asked: the configuration, without the defaults of its data set.
    """

    def __init__(self, command: Command) -> None:
        self._command, self.options = command, command.values
        self._study = load_study(self.options.config) if self.options.config else {}
        self._flags = flags.given(command)
        self.asked = self._config(Config.dataset, 0)

    def _config(self, dataset: str, train_rows: int) -> Config:
        given = {*self._study, *self._flags}
        return make_config(dataset, train_rows, self._study, self._flags, given=given)

    def config(self, data: CTRData) -> Config:
        """The configuration for a data set."""
        return self._config(data.name, data.train.num_rows)

    def note_chosen(self) -> None:
        """Says what follows from budgets in bytes, even with --quiet."""
        if chosen := chosen_by_bytes({**self._study, **self._flags}):
            told = " ".join(f"--{name}={value}" for name, value in chosen.items())
            self._note(f"budgets in bytes, without a method or a dtype of your own: {told}")

    def load(self, seed: int) -> CTRData:
        """The data set as this seed splits it."""
        return load_for_seed(
            self._flags.get("dataset", self._study.get("dataset", Config.dataset)),
            data_dir=self.options.data_dir,
            features=self.asked.features,
            seed=seed,
            first_seed=self.asked.seed,
            **flags.data_options(self._command),
        )

    def check_memory(self, config: Config, data: CTRData) -> None:
        """Raises RunError where the run takes more memory than there is, if that is to be checked."""
        if self.options.check_memory:
            refuse_too_large(memory_here(config, data.schema, data.train.num_rows))

    def run_dir(self, stem: str) -> pathlib.Path:
        """The folder of the results: the one asked for, or the next one of that name below `runs`."""
        return self.options.run_dir or next_run_dir(resolve("runs"), stem, self.options.resume)

    def warn_of_fallback(self, data: CTRData) -> None:
        """Warns if another data set than the one asked for was used, even with --quiet."""
        if line := fallback_line(data):
            self._note(line)

    def _note(self, line: str) -> None:
        if not is_leader():
            return
        if self._command.given().get("log_format") == "json":
            JsonReporter(1).note(line)
        else:
            print(line, file=sys.stderr, flush=True)
