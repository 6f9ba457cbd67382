"""Any data set that fits in memory, written to a store; and any store read, but for its transform."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from pep_tf.data.dataset import CTRData, check_data
from pep_tf.data.identity import Identity
from pep_tf.data.raw import Examples, RawTransform
from pep_tf.data.schema import FeatureSchema
from pep_tf.data.store.assign import SPLITS
from pep_tf.data.store.bins import BLOCK_ROWS
from pep_tf.data.store.deal import Example
from pep_tf.data.store.manifest import (
    STORE,
    Stamp,
    check_version,
    read_manifest,
    reading_manifest,
)
from pep_tf.data.store.place import refuse_other
from pep_tf.data.store.splits import store_splits
from pep_tf.data.store.write import Shards, write
from pep_tf.errors import DataError
from pep_tf.paths import resolve


class _Arrays:
    """The rows of a `CTRData`, in their order; see `Source`."""

    def __init__(self, data: CTRData) -> None:
        self._data, self._clicks = data, dict.fromkeys(SPLITS, 0)
        self.num_columns = len(data.schema.column_fields)
        rows = sum(split.num_rows for split in data.splits.values())
        self.bytes_needed = rows * (4 * self.num_columns + 6)
        self.weighted = len(data.train.batches(1).element_spec) > 2
        self.stamps: dict[str, Stamp] = {}

    def shards(self, folder: pathlib.Path) -> Shards:
        if save := getattr(self._data.transform, "save", None):
            save(folder)
        return {name: [lambda name=name: self._blocks(name)] for name in SPLITS}  # type: ignore[misc]

    def _blocks(self, name: str) -> Iterator[Example]:
        batches = self._data.splits[name].batches(BLOCK_ROWS).as_numpy_iterator()
        for index, (ids, labels, *weights) in enumerate(batches):
            self._clicks[name] += int(labels.sum())
            block = {"ids": ids, "label": labels.astype("uint8")}
            yield index, block | ({"weight": weights[0]} if self.weighted else {})

    def facts(self) -> dict[str, Any]:
        data, splits = self._data, {}
        for name, split in data.splits.items():
            full, rest = divmod(split.num_rows, BLOCK_ROWS)
            splits[name] = {
                "rows": split.num_rows,
                "clicks": self._clicks[name],
                "rows_md5": split.md5,
                "block_rows": [[BLOCK_ROWS] * full + [rest] * bool(rest)],
            }
        return {
            "dataset": data.name,
            "details": data.details,
            "identity": stored(data.identity).get_config(),
            "schema": data.schema.get_config(),
            "splits": splits,
        }

    def check(self, folder: pathlib.Path, manifest: dict[str, Any], verify: bool) -> None:
        refuse_other(folder, identity_of(folder, manifest), stored(self._data.identity))


def stored(identity: Identity) -> Identity:
    """The identity of rows once they are stored."""
    return dataclasses.replace(identity, options={**identity.options, "read from": STORE})


def write_store(
    data: CTRData, out: str | os.PathLike[str], *, overwrite: bool = False, verify: bool = False
) -> dict[str, Any]:
    """Writes `data` below `out`; see `write`.

    Raises:
        DataError: data that cannot be trained on, and as `write`.
    """
    check_data(data)
    name = f"{data.name} blocks"
    return write(_Arrays(data), resolve(out), name, overwrite=overwrite, verify=verify)


def read_store(
    folder: str | os.PathLike[str], *, dataset: str | None = None, verify: bool = False
) -> CTRData:
    """Reads a store, but for the transform, which its class reads.

    Args:
        folder: of the store.
        dataset: name of the data set that it must hold; None takes any.
        verify: hashes every file, even where size, times and inode are what they were.

    Raises:
        DataError: no store, damaged, of another version, or of another data set.
    """
    folder = resolve(folder)
    manifest = read_manifest(folder, verify=verify)
    if dataset not in (None, manifest.get("dataset")):
        raise DataError(f"{folder}: holds {manifest.get('dataset')!r}, {dataset!r} was asked for.")
    check_version(folder, manifest)
    known = identity_of(folder, manifest)
    with reading_manifest(folder):
        schema = FeatureSchema.from_config(manifest["schema"])
        splits = store_splits(folder, manifest)
        details = manifest.get(
            "details", {name: manifest[name] for name in _OF_CLICK_LOGS & set(manifest)}
        )
        details = {**details, "data_dir": str(folder)}
        train, validation, test = (splits[name] for name in SPLITS)
        return CTRData(manifest["dataset"], schema, train, validation, test, details, known=known)


_OF_CLICK_LOGS = {"source", "raw", "options", "lines", "transform_md5", "tool"}


def identity_of(folder: pathlib.Path, manifest: dict[str, Any]) -> Identity:
    """The identity of a store."""
    with reading_manifest(folder):
        if (found := Identity.from_config(manifest["identity"])) is None:
            raise DataError("no identity")
        return found


def with_transform(
    data: CTRData,
    transform: RawTransform,
    md5: object,
    examples: Examples | None = None,
    asked: Identity = Identity(),  # noqa: B008 - nothing changes it
) -> CTRData:
    """A store's rows with the transform that was read from it, whose fingerprint must be `md5`.

    Raises:
        DataError: another fingerprint; or the store was not made with what is asked for.
    """
    folder = data.details["data_dir"]
    if told := data.known.difference(asked):
        raise DataError(
            f"{folder}: the store was made with {told}. Leave that out, or prepare a store with it."
        )
    if getattr(transform, "fingerprint", None) != md5 or transform.schema != data.schema:
        raise DataError(f"{folder}: the transform and the manifest do not belong together.")
    return dataclasses.replace(data, transform=transform, examples=examples)
