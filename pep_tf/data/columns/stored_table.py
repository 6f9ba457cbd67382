"""Tables in files, prepared once into a store and read from it."""

import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from pep_tf.data.columns.declaration import Declaration
from pep_tf.data.columns.learn import Learner
from pep_tf.data.columns.table import Table, stamped
from pep_tf.data.columns.table_files import TableFiles
from pep_tf.data.columns.transform import ColumnTransform
from pep_tf.data.dataset import CTRData
from pep_tf.data.identity import Identity
from pep_tf.data.store.arrays import read_store, with_transform
from pep_tf.data.store.deal import DealtRows
from pep_tf.data.store.manifest import (
    STORE,
    note_stamps,
    read_stamps,
    reading_manifest,
    stamp,
)
from pep_tf.data.store.place import refuse_other
from pep_tf.data.store.write import Shards
from pep_tf.errors import DataError, reading
from pep_tf.paths import resolve

FILE, ARRAYS = "transform.json", "transform.npz"


class StoredTable(Table):
    """The rows of files on their way into a store; see `Source`."""

    def __init__(self, table: TableFiles, declared: Declaration, name: str) -> None:
        super().__init__(table, declared, name)
        self.weighted = declared.weight is not None
        self.bytes_needed = 2 * sum(path.stat().st_size for path in table.paths)

    @property
    def num_columns(self) -> int:
        return len(self._transform.schema.column_fields)

    def shards(self, folder: pathlib.Path) -> Shards:
        """See `Source.shards`."""
        self._dealt = DealtRows(folder, len(self._places), self.num_columns, weighted=self.weighted)
        self._dealt.fill(map(self._dealt.group, self._blocks()), self._table.source)
        self._save(folder)
        return self._dealt.shards()

    def _save(self, folder: pathlib.Path) -> None:
        """Writes what the transform is made of again: declaration, and what the training rows showed."""
        arrays = {
            f"{place}.{name}": array
            for place, field in enumerate(self._declared.features)
            if field.encoder.learns
            for name, array in self._learners[field.name].arrays().items()
        }
        np.savez(folder / ARRAYS, **arrays)  # type: ignore[arg-type]
        examples = {n: [t.decode("latin-1") for t in ts] for n, ts in self._examples.items()}
        config = {
            "fields": {f.name: f.declared for f in self._declared.features},
            "examples": examples,
            "md5": self._transform.fingerprint,
        }
        (folder / FILE).write_text(json.dumps(config, indent=1) + "\n")

    def facts(self) -> dict[str, Any]:
        """See `Source.facts`."""
        identity = self._identity(split=self._declared.split_by, options={"read from": STORE})
        return {
            "dataset": self._name,
            "declaration": self._asked(),
            "raw": {str(path): _file_digest(path) for path in self._table.paths},
            "details": self._details,
            "identity": identity.get_config(),
            "schema": self._transform.schema.get_config(),
            "splits": self._dealt.facts(),
        }

    def _asked(self) -> dict[str, Any]:
        """The declaration as JSON-ready values."""
        declared = self._declared
        given = declared.split if isinstance(declared.split, str) else list(declared.split)
        split = given if isinstance(given, str) else hashlib.md5(repr(given).encode()).hexdigest()
        drop = {
            name: [str(v) for v in (values if isinstance(values, list | tuple | set) else [values])]
            for name, values in declared.drop.items()
        }
        return {
            "label": declared.label,
            "kinds": declared.kinds,
            "weight": declared.weight,
            "drop": {name: sorted(values) for name, values in drop.items()},
            **declared.split_by,
            "split": split,
        }

    def check(self, folder: pathlib.Path, manifest: dict[str, Any], verify: bool) -> None:
        """See `Source.check`; a file is read again only if its stamp has changed, or to `verify`."""
        with reading_manifest(folder):
            files = manifest["raw"]
            names = [pathlib.Path(name).name for name in files]
            known = Identity(options={"files": names, **manifest["declaration"]})
        here = [path.name for path in self._table.paths]
        refuse_other(folder, known, Identity(options={"files": here, **self._asked()}))
        before, now = read_stamps(folder), {}
        for (name, digest), path in zip(files.items(), self._table.paths, strict=True):
            now[stamped(path)] = stamp(path)
            unchanged = before.get(stamped(path)) == now[stamped(path)] and not verify
            if not unchanged and _file_digest(path) != digest:
                raise DataError(
                    f"{folder}: holds another store: the content of {pathlib.Path(name).name} changed. "
                    "Name another folder, or replace it with --overwrite."
                )
        note_stamps(folder, now)


def read_table_store(
    folder: str | os.PathLike[str],
    *,
    verify: bool = False,
    asked: Identity = Identity(),  # noqa: B008 - nothing changes it
) -> CTRData:
    """Reads the store of a `StoredTable`.

    Raises:
        DataError: no store, damaged, of another version, or not made with what is asked for.
    """
    folder = resolve(folder)
    data = read_store(folder, verify=verify)
    with reading(folder / FILE, DataError, "prepare the data again"):
        config = json.loads((folder / FILE).read_text())
        transform = _transform_of(folder, config)
        examples = {
            name: np.array([text.encode("latin-1") for text in two], object)
            for name, two in config["examples"].items()
        }
        return with_transform(data, transform, config["md5"], examples, asked)


def _transform_of(folder: pathlib.Path, config: dict[str, Any]) -> ColumnTransform:
    declared = Declaration.of("", config["fields"])
    with np.load(folder / ARRAYS) as stored:
        learners = {
            field.name: Learner.of(
                field, {name: stored[f"{place}.{name}"] for name in ("texts", "lengths", "counts")}
            )
            if field.encoder.learns
            else Learner(field)
            for place, field in enumerate(declared.features)
        }
    return declared.fit(learners)


def _file_digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
