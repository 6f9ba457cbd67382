"""Writes a saved Keras model, a ticket of a run, or a ticket as it was cut, for serving, in few bytes.

The command line: `python -m pep_tf.experiments.export model.keras --out=served/model`, or
`python -m pep_tf.experiments.export runs/example --ticket=1000 --out=served/model --dtype=int8`.
"""

import pathlib
import sys
import zipfile
import zlib
from collections.abc import Sequence

import keras
import numpy as np

from pep_tf import api, plugins
from pep_tf.command_line import Command, UsageError, refuse
from pep_tf.data import CTRData
from pep_tf.errors import PepError, RunError
from pep_tf.experiments.load_data import load_for_seed
from pep_tf.experiments.run_exports import read_model
from pep_tf.export.check import FORMATS
from pep_tf.export.inspect import inspect, render
from pep_tf.paths import resolve, shown
from pep_tf.tables.packed.values import DTYPES
from pep_tf.training import Ticket
from pep_tf.training.state import reading_object

_TICKET = ".safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        plugins.load_plugins(given)
    except PepError as error:
        return refuse(error)
    command = Command("pep_tf.experiments.export", __doc__, arguments="MODEL")
    out = command.path(
        "out", None, "folder of the model: gets version 1, or the next", required=True
    )
    dtype = command.choice("dtype", "float32", DTYPES, "how the entries of the tables are stored")
    form = command.choice("format", "savedmodel", FORMATS, "for TF Serving, or a .tflite")
    examples = command.path(
        "examples",
        None,
        "an .npz with a batch of inputs by name, or an .npy, to check the answers on",
        shown="made-up inputs",
        exists=True,
    )
    ticket = command.text("ticket", None, "of a run's folder: which one, by its budget in entries")
    data_dir = command.path("data_dir", None, "of a run's folder: as the run was given it")
    command.items(plugins.FLAG, None, "modules to import first, which register layers of your own")

    def export(paths: list[str]) -> None:
        if len(paths) > 1:
            raise UsageError(
                f"Give one MODEL: a .keras, a ticket, or a run's folder. Received: {paths}"
            )
        path = resolve(paths[0])
        if path.is_dir():
            model, data = _retrained(path, ticket.value), _data(path, data_dir.value)
        else:
            model, data = _model(path), None
            if ticket.value or data_dir.value:
                raise UsageError(
                    f"--ticket and --data_dir are for a run's folder. Received: {path}"
                )
        batch = None if examples.value is None else _batch(examples.value)
        options = {"dtype": dtype.value, "format": form.value, "examples": batch, "data": data}
        version = api.export(model, out.value, **options)
        print(render(inspect(version)))
        print(shown(version))

    return command.run(export, given)


def _model(path: pathlib.Path) -> keras.Model:
    """The model of a `.keras` file, or of a ticket with the weights that it had when it was cut."""
    if not path.exists():
        raise RunError(f"{path}: there is no such file.")
    if path.suffix == _TICKET:
        ticket = Ticket.load(path)
        if ticket.empty_at_cut:
            raise RunError(
                f"{path}: all {ticket.nnz:,} entries that it keeps were 0 when it was cut. Retrain the "
                "ticket, or prune again and count more often (check_every)."
            )
        print("the ticket as it was cut: it has not been retrained", file=sys.stderr)
        return ticket.model("trained")
    return read_model(path)


def _data(run: pathlib.Path, data_dir: pathlib.Path | None) -> CTRData:
    """What a run was trained on: its raw features are served, and a batch of it is checked."""
    with reading_object(run / "config.json", "give the folder of a run") as config:
        dataset = config["data"].get("declaration", config["dataset"])
        known = {"features": config["features"], "seed": config["seed"]}
    return load_for_seed(dataset, data_dir=data_dir, **known)


def _retrained(run: pathlib.Path, ticket: str | None) -> keras.Model:
    """A run's ticket as it was retrained."""
    found = {path.stem.removeprefix("ticket_"): path for path in run.glob("models/ticket_*.keras")}
    if ticket not in found:
        raise RunError(
            f"`--ticket` must be one of {', '.join(sorted(found)) or 'none'}: the retrained tickets in "
            f"{run / 'models'}. Received: {ticket}"
        )
    return _model(found[ticket])


def _batch(path: pathlib.Path) -> object:
    try:
        with path.open("rb") as file:
            found = np.load(file)
            return dict(found) if path.suffix == ".npz" else found
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"--examples={path} cannot be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
