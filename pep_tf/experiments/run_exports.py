"""The exports of a run: what each trained table is served from, written once, and again where it is gone."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import keras

from pep_tf import api, distributed
from pep_tf.data import CTRData
from pep_tf.errors import RunError
from pep_tf.experiments.config import Config
from pep_tf.experiments.results import Row
from pep_tf.experiments.run_folder import RunFolder
from pep_tf.export.inspect import inspect, is_whole
from pep_tf.export.model_card import read_card
from pep_tf.tables.packed.values import StoredAs
from pep_tf.training import Reporter, Ticket
from pep_tf.training.prune import facts_of

Export = Callable[..., pathlib.Path]


class Exports:
    """Exports of one run, in its formats; of several workers the first one writes.

    Args:
        config, data, folder, reporter: those of the run.
    """

    def __init__(
        self, config: Config, data: CTRData, folder: RunFolder, reporter: Reporter
    ) -> None:
        self._config, self._data, self._folder, self._reporter = config, data, folder, reporter

    def of_model(self, model: keras.Model) -> Export:
        """The export of a model that is no ticket."""

        def export(folder: pathlib.Path, metadata: Any, **form: Any) -> pathlib.Path:
            card = {**facts_of(self._data), **metadata}
            return api.export(model, folder, data=self._data, metadata=card, **form)

        return export

    def write(
        self,
        stage: str,
        row: Row,
        export: Export,
        dtype: StoredAs | None = None,
        kinds: Sequence[str] | None = None,
    ) -> Row:
        """Exports a trained model, in a folder of its own for each format; adds the bytes to the row.

        The export checks that what it wrote answers as the model does. Without a format to export in,
        the row stays as it is, and so it does on other workers than the first. `kinds`: these formats
        alone.
        """
        if not distributed.is_leader():
            return row
        dtype, sizes = dtype or self._config.stored_as(), []
        for kind in self._config.formats() if kinds is None else kinds:
            folder = self._path(stage, kind)
            shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut short
            with distributed.alone():
                path = export(
                    folder, dtype=dtype, format=kind, metadata={"metrics": dataclasses.asdict(row)}
                )
            sizes.append(inspect(path)["bytes"])
            self._note_differences(path, dtype)
        if not sizes:
            return row
        tables = sum(sizes[0][part] for part in ("values", "indices", "first_order"))
        return dataclasses.replace(row, export_bytes=sizes[0]["total"], table_bytes=tables)

    def write_keys(self, stage: str, row: Row, ticket: Ticket) -> None:
        """Exports a retrained ticket by key, if the run is to."""
        if self._config.export_keys and distributed.is_leader():
            shutil.rmtree(self._keys(stage), ignore_errors=True)  # of an attempt that was cut short
            ticket.export_keys(self._keys(stage), metadata={"metrics": dataclasses.asdict(row)})

    def restore(self, stage: str, row: Row, of: Any) -> None:
        """Writes what is gone or damaged of a finished stage, where `of` is a ticket whose model is kept."""
        if not distributed.is_leader():
            return
        lost = [kind for kind in self._config.formats() if not is_whole(self._path(stage, kind))]
        keys = (
            self._config.export_keys and isinstance(of, Ticket) and not self._keys(stage).exists()
        )
        kept = self._folder.models / f"{stage}.keras"
        if (lost or keys) and isinstance(of, Ticket) and kept.exists():
            of.retrained, of.data = read_model(kept), self._data
            self.write(stage, row, of.export, kinds=lost)
            if keys:
                self.write_keys(stage, row, of)
        elif lost or keys:
            self._reporter.note(
                f"The export of {stage} is gone or damaged, and its model was not kept. To train and "
                f"export it again delete {self._folder.stage(stage)}, then --resume."
            )

    def _note_differences(self, path: pathlib.Path, dtype: StoredAs) -> None:
        card = read_card(path)
        if dtype != "float32":
            difference = card["check"]["largest_difference"]
            self._reporter.note(
                f"{path}: {dtype} changes a probability by at most {difference:.1e}."
            )
        if trained := card.get("trained_in"):
            self._reporter.note(
                f"{path}: computes in float32, which changes a probability of the tower in "
                f"{trained['precision']} by at most {trained['largest_difference']:.1e}."
            )

    def _path(self, stage: str, kind: str) -> pathlib.Path:
        return self._folder.export / (stage if kind == "savedmodel" else f"{stage}_{kind}")

    def _keys(self, stage: str) -> pathlib.Path:
        return self._folder.path / "keys" / stage


def read_model(path: pathlib.Path) -> keras.Model:
    """The model of a `.keras` file; raises RunError if it cannot be read."""
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # of a damaged file or a folder, Keras raises of every kind
        reason = str(error).strip().split("\n")[0]
        raise RunError(f"{path} cannot be read as a Keras model: {reason}") from error
