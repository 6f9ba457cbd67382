"""The folder of a run: its configuration, the results of each stage, what can be taken up again."""

import contextlib
import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from pep_tf.data import CTRData, Identity
from pep_tf.differences import differences, one_line
from pep_tf.distributed import is_leader
from pep_tf.errors import RunError
from pep_tf.experiments.results import Row
from pep_tf.files import LOCK, lock
from pep_tf.training import refuse_to_resume
from pep_tf.training.checkpoint import remove_checkpoint
from pep_tf.training.rounded import rounded_checkpoint
from pep_tf.training.state import reading_object, replacing, save_object

_PLACES = {"data_dir", "source", "fallback", "tool"}  # of a data set's details: not what it holds


class RunFolder:
    """Files of one run.

        config.json      what is computed
        stages/          one file per finished stage, with its row
        work/            checkpoints of the stage that is under way
        tickets/         one file per ticket
        models/          the retrained model of each ticket, a .keras file
        export/          one SavedModel per trained table
        keys/            the tickets by key, for other systems
        environment.json the command, machine and versions
        history.json     loss, nnz, thresholds and validation AUC over the steps of each stage
        feature_counts.safetensors  occurrences of each feature in the training rows
        seeds/           of a run over several seeds: a run folder for each seed, in place of the above
        results.json, report.html, figures/, tensorboard/

    Args:
        path: the folder.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.tickets = path / "tickets"
        self.models = path / "models"
        self.export = path / "export"
        self.work = path / "work"

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run."""
        return (self.path / "config.json").exists()

    def open(self, config: Mapping[str, Any], data: CTRData, resume: bool) -> None:
        """Begins a run, or takes it up again; of several workers the first one does.

        Args:
            config: what is computed.
            data: what it is computed on; its identity is kept, and compared.
            resume: take up the run that the folder holds, perhaps with more epochs.

        Raises:
            RunError: a folder that holds another run, a run on other data, or the same one without
                `resume`; no run to resume; a folder that cannot be written.
        """
        if not is_leader():
            return
        self._refuse_place(resume)
        path = self.path / "config.json"
        origin = {**data.details, "identity": data.identity.get_config()}
        # As it will be read back: tuples become lists.
        config = json.loads(json.dumps({**config, "data": origin}))
        if not self.begun:
            save_object(path, config, indent=2)
            return
        with reading_object(path, "choose another --run_dir") as found:
            before = found.get("epochs")
            more = resume and isinstance(before, int) and config["epochs"] > before
            self._refuse_other({**found, "epochs": config["epochs"]} if more else found, config)
        self._refuse_other_data(found.get("data"), config["data"], data)
        if not resume:
            raise RunError(
                f"--run_dir={self.path} already holds this run. Add --resume to continue it, or "
                "choose another folder."
            )
        if more:
            save_object(path, config, indent=2)

    def _refuse_place(self, resume: bool) -> None:
        """Refuses to begin where other files are, and to resume where no run is."""
        if self.begun:
            return
        if resume:
            raise RunError(
                f"--resume: {self.path} holds no run. Leave --resume out to begin one there."
            )
        if self.path.is_dir() and any(file.name != LOCK for file in self.path.iterdir()):
            raise RunError(f"--run_dir={self.path} holds files but no run. Choose another folder.")

    def _refuse_other(self, found: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        there, here = ({k: v for k, v in x.items() if k != "data"} for x in (found, config))
        if told := differences(there, here):
            raise RunError(
                f"--run_dir={self.path} holds a run of another configuration: {one_line(told)}. "
                "Choose another folder, or give the same flags."
            )

    def _refuse_other_data(self, found: Any, origin: dict[str, Any], data: CTRData) -> None:
        found = found if isinstance(found, dict) else {}
        where = f"The run in --run_dir={self.path}"
        refuse_to_resume(Identity.from_config(found.get("identity")), data.identity, where)
        if "identity" in found:
            return
        # What versions recorded that kept no digest of the content.
        kept = {name for name in found if name in origin and name not in _PLACES}
        there, here = ({name: x[name] for name in kept} for x in (found, origin))
        if told := differences(there, here):
            raise RunError(f"{where} was begun on other data: {one_line(told)}.")

    @contextlib.contextmanager
    def opened(self, config: Mapping[str, Any], data: CTRData, resume: bool) -> Iterator[None]:
        """Does what `open` does, and keeps a second process out meanwhile, however this one ends.

        Raises:
            RunError: what `open` refuses, or another process works in the folder.
        """
        if not is_leader():
            yield
            return
        self._refuse_place(resume)  # before anything is made there
        try:
            held = lock(self.path)
        except BlockingIOError:
            raise RunError(f"Another process is at work in {self.path}.") from None
        except OSError as error:
            raise RunError(
                f"Cannot write {self.path}: {error.strerror}; choose another folder."
            ) from error
        with held:
            self.open(config, data, resume)
            yield

    def checkpoint(self, stage: str) -> pathlib.Path:
        """Where a stage keeps its checkpoint."""
        return self.work / f"{stage}.safetensors"

    def has_row(self, stage: str) -> bool:
        """Whether a stage has finished."""
        return self.stage(stage).exists()

    def row(self, stage: str) -> Row:
        """The row of a finished stage."""
        path = self.stage(stage)
        with reading_object(path, "delete it, and its stage is done again") as found:
            return Row.read(found)

    def stage(self, stage: str) -> pathlib.Path:
        """The file of a finished stage's row."""
        return self.path / "stages" / f"{stage}.json"

    def note_environment(self, facts: dict[str, Any]) -> None:
        """Keeps where the run was begun; of a run that is taken up again the first start stays."""
        path = self.path / "environment.json"
        if not path.exists():
            save_object(path, facts, indent=2)

    def note_history(self, stage: str, checks: list[dict[str, float]]) -> None:
        """Keeps what a stage recorded over its steps."""
        path = self.path / "history.json"
        history: dict[str, Any] = {}
        if path.exists():
            with reading_object(path, "delete it to go on without what it told") as found:
                history = found
        save_object(path, {**history, stage: checks})

    def keep_model(self, stage: str, model: keras.Model) -> None:
        """Keeps the model of a retrained ticket, for Keras and for later exports."""
        if is_leader():
            with replacing(self.models / f"{stage}.keras") as neighbour:
                model.save(
                    saved := neighbour.with_suffix(".keras")
                )  # an ending that Keras asks for
                saved.rename(neighbour)

    def finish(self, stage: str, row: Row) -> None:
        """Keeps a stage's row; its checkpoint is no longer needed, unless more epochs may be asked for."""
        if not is_leader():
            return
        save_object(self.stage(stage), dataclasses.asdict(row), indent=2)
        if not row.capped:
            checkpoint = self.checkpoint(stage)
            parts = self.work.glob(rounded_checkpoint(checkpoint, "*").name)
            for path in (checkpoint, *parts):
                remove_checkpoint(path)


def next_run_dir(parent: pathlib.Path, stem: str, resume: bool) -> pathlib.Path:
    """`<parent>/<stem>-<k>` with the first free k; to resume, the latest there is.

    Raises:
        RunError: nothing to resume.
    """
    numbers = [
        int(found[1])
        for path in (parent.iterdir() if parent.is_dir() else ())
        if (found := re.fullmatch(re.escape(stem) + r"-(\d+)", path.name))
    ]
    if resume:
        if not numbers:
            raise RunError(f"--resume: there is no run {parent / stem}-* yet. Give --run_dir.")
        return parent / f"{stem}-{max(numbers)}"
    return parent / f"{stem}-{max(numbers, default=0) + 1}"
