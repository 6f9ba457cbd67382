"""The commands of a page: how to repeat a run and how to serve its tickets. Every path is quoted."""

import dataclasses
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from absl import flags

from pep_tf.data.columns import is_own
from pep_tf.experiments.config import Config
from pep_tf.experiments.environment import command
from pep_tf.experiments.report.reading import Record, exports_of
from pep_tf.experiments.text import clean
from pep_tf.paths import shown


class Command(NamedTuple):
    """A command and what it does."""

    what: str
    line: str


def of_run(record: Record, budget: int | None) -> list[Command]:
    """All commands of the page of a run; its ticket of `budget` is served."""
    found = [*reproduce(record), page_again(record.path)]
    if served := _serve(record, budget):
        return found + served
    record.notes.append("No exported models in the folder: there is nothing to serve from here.")
    return found


def reproduce(record: Record) -> list[Command]:
    """The command that made the run, or one rebuilt from its configuration."""
    found = as_recorded("Repeat the run", record.environment, record.notes, record.config)
    if record.config and "command" not in record.environment:
        known = {field.name: field.default for field in dataclasses.fields(Config)}
        flags = [
            f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in record.config.items()
            if name in known and value is not None and value != _listed(known[name])
        ]
        found.append(Command("Repeat the run (add --data_dir where one is needed)", command(flags)))
    return found


def as_recorded(
    what: str, environment: Mapping[str, Any], notes: list[str], config: Mapping[str, Any]
) -> list[Command]:
    """The command that `environment.json` holds; none, with a note, if no shell can read it.

    It names the data set that was really used, which on another machine might be another one. Data of
    one's own is found by its file, whose name the data set has not.
    """
    recorded, dataset = environment.get("command"), config.get("dataset")
    if not isinstance(recorded, str):
        return []
    # As recorded it is already quoted; split and joined again, so that nothing else can be in it.
    try:
        words = shlex.split(_line(recorded))
        if isinstance(dataset, str) and words[:2] == ["python", "-m"]:
            words[2:] = _with_data_set(words[2:], _line(dataset))
    except (ValueError, flags.Error):
        notes.append("environment.json holds a command that no shell can read.")
        return []
    return [Command(what, shlex.join(words))]


def _with_data_set(words: list[str], used: str) -> list[str]:
    """A command's words, the last of which names the data set that was used, if it names another."""
    known = flags.FlagValues()
    asked = flags.DEFINE_string("dataset", Config.dataset, "", flag_values=known)
    others = known(words, known_only=True)
    return words if is_own(asked.value) or asked.value == used else [*others, f"--dataset={used}"]


def page_again(*paths: pathlib.Path) -> Command:
    """The command that draws the page of a folder, or the comparison of several."""
    folders = " ".join(map(quoted, paths))
    return Command("Make this page again", f"python -m pep_tf.experiments.report {folders}")


def _serve(record: Record, budget: int | None) -> list[Command]:
    """Serving with a stock TF Serving, and one request; nothing without an export."""
    exports = exports_of(record.path)
    if not exports:
        return []
    named = (e for e in exports if e.parent.name.rpartition("_")[2] == str(budget))
    version = next(named, exports[0])
    folder, request = version.parent, version / "assets.extra/requests/serving_default.json"
    server = "tensorflow_model_server --rest_api_port=8501 --model_name=ctr"
    ask = f"curl -d @{quoted(request)} http://localhost:8501/v1/models/ctr:predict"
    return [
        Command(f"Serve {clean(folder.name)}", f"{server} --model_base_path={absolute(folder)}"),
        *([Command("Ask it for two predictions", ask)] if request.exists() else []),
        Command("See what takes the bytes", f"python -m pep_tf.export.inspect {quoted(folder)}"),
    ]


def quoted(path: pathlib.Path) -> str:
    """A path for a shell, relative to the working folder where it is below it."""
    return shlex.quote(_line(str(shown(path))))


def absolute(path: pathlib.Path) -> str:
    """An absolute path for a shell; below the working folder it begins with `"$PWD"/`."""
    return quoted(path) if shown(path).is_absolute() else f'"$PWD"/{quoted(path)}'


def _line(command_line: str) -> str:
    """Replaces control characters, but does not shorten: a shortened command would be wrong."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in command_line)


def _listed(value: object) -> object:
    """The value as JSON returns it."""
    return list(value) if isinstance(value, tuple) else value
