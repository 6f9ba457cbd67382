"""The flags of the command line: one a field of `Config`, and those that say how to run."""

import dataclasses
from typing import Any

from absl import flags

from pep_tf.errors import RunError
from pep_tf.experiments.config import HELP, Config, type_name

_DEFINE: dict[str, Any] = {
    "int": flags.DEFINE_integer,
    "float | None": flags.DEFINE_float,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_boolean,
}


def define() -> None:
    """Defines all flags; their defaults are None so that it shows which ones were given."""
    for field in dataclasses.fields(Config):
        kind = type_name(field)
        help_text = f"{HELP[field.name]} [{_shown(field.default)}]"
        if kind.startswith("tuple"):
            flags.DEFINE_list(field.name, None, help_text)
        else:
            _DEFINE.get(kind, flags.DEFINE_string)(field.name, None, help_text)
    flags.DEFINE_string(
        "data_dir",
        None,
        "MovieLens: folder with ratings.dat, users.dat, movies.dat; click logs: a prepared store, or "
        "the raw file itself",
    )
    flags.DEFINE_integer("rows", None, "synthetic data: rows of all splits together")
    flags.DEFINE_integer("num_features", None, "synthetic data: features N of all fields together")
    flags.DEFINE_string("on_bad_row", None, "raw click logs: 'error' or 'skip' [error]")
    flags.DEFINE_string("hour", None, "raw Avazu: 'raw' or 'parts' (hour of day, weekday) [raw]")
    flags.DEFINE_boolean(
        "verify",
        False,
        "hash a prepared store even if size, times and inode of its files are the same",
    )
    flags.DEFINE_string("config", None, "study file, for example experiments/movielens_1m.py")
    flags.DEFINE_string("run_dir", None, "folder for results [runs/<data set>-<model>-<number>]")
    flags.DEFINE_boolean("resume", False, "continue the run in --run_dir, or the latest one")
    flags.DEFINE_boolean("dry_run", False, "only say how many steps, how much memory and time")
    flags.DEFINE_boolean("quiet", False, "no progress, only the results")
    flags.DEFINE_enum(
        "log_format",
        "text",
        ["text", "json"],
        "progress and results as text, or as JSON, one object a line",
    )
    flags.DEFINE_boolean("tensorboard", True, "write TensorBoard scalars and histograms")


def given() -> dict[str, Any]:
    """The fields of `Config` that flags have set.

    Raises:
        RunError: a list with something other than whole numbers where these are asked for.
    """
    changes = {}
    for field in dataclasses.fields(Config):
        value = flags.FLAGS[field.name].value
        if value is None:
            continue
        changes[field.name] = tuple(value) if isinstance(value, list) else value
        if type_name(field) == "tuple[int, ...]":
            try:
                changes[field.name] = tuple(int(number) for number in value)
            except ValueError:
                raise RunError(
                    f"--{field.name} must be whole numbers such as 100,100. "
                    f"Received: {','.join(value)}"
                ) from None
    return changes


def data_options() -> dict[str, Any]:
    """The flags that go to the reader of the data set, those that were given."""
    names = ("rows", "num_features", "on_bad_row", "hour")
    given = {name: value for name in names if (value := flags.FLAGS[name].value) is not None}
    return {**given, "verify": flags.FLAGS.verify}


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
