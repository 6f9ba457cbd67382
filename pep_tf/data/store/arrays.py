"""Any data set that fits in memory, written to and read from the same block store as the click logs."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pep_tf.data.dataset import CTRData, check_data
from pep_tf.data.identity import Identity
from pep_tf.data.schema import FeatureSchema
from pep_tf.data.store.assign import SPLITS
from pep_tf.data.store.bins import BLOCK_ROWS
from pep_tf.data.store.manifest import (
    STORE,
    STORE_VERSION,
    check_version,
    read_manifest,
    reading_manifest,
    write_manifest,
)
from pep_tf.data.store.place import is_same, publish, published, writing_to
from pep_tf.data.store.quiet import quiet
from pep_tf.data.store.splits import store_splits
from pep_tf.errors import DataError
from pep_tf.paths import resolve


class ArrayStore(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes a `CTRData` as blocks; set `data` before `download_and_prepare`."""

    VERSION = tfds.core.Version(STORE_VERSION)
    data: CTRData
    clicks: dict[str, int]  # by split, as its blocks are written
    num_fields = 0

    def _info(self) -> tfds.core.DatasetInfo:
        ids = tfds.features.Tensor(shape=(None, self.num_fields), dtype=np.int32, encoding="bytes")
        label = tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding="bytes")
        features = tfds.features.FeaturesDict({"ids": ids, "label": label})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Any]]:
        return {name: [lambda name=name: self._blocks(name)] for name in SPLITS}

    def _blocks(self, name: str) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        batches = getattr(self.data, name).batches(BLOCK_ROWS).as_numpy_iterator()
        self.clicks[name] = 0
        for index, (ids, labels, *weights) in enumerate(batches):
            if weights:
                raise DataError("A store keeps no weights: leave them out of the data.")
            self.clicks[name] += int(labels.sum())
            yield index, {"ids": ids, "label": labels.astype(np.uint8)}

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        data, splits = self.data, {}
        for name in SPLITS:
            split = getattr(data, name)
            full, rest = divmod(split.num_rows, BLOCK_ROWS)
            blocks = [BLOCK_ROWS] * full + [rest] * bool(rest)
            splits[name] = {
                "rows": split.num_rows,
                "clicks": self.clicks[name],
                "rows_md5": split.md5,
                "block_rows": [blocks],
            }
        facts = {
            "dataset": data.name,
            "version": STORE_VERSION,
            "details": data.details,
            "identity": _identity(data).get_config(),
            "schema": data.schema.get_config(),
            "splits": splits,
        }
        if save := getattr(data.transform, "save", None):
            save(pathlib.Path(self.data_dir))
        write_manifest(pathlib.Path(self.data_dir), facts)


def write_store(
    data: CTRData,
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    verify: bool = False,
) -> dict[str, Any]:
    """Writes `data` below `out`; the store takes its name when it is complete.

    Args:
        data: the data set.
        out: folder, made when missing.
        overwrite: replaces the store that is there.
        verify: of a store that is there, hashes every file even where size, times and inode are what
            they were.

    Returns:
        The manifest, with the store's folder as `folder`. A store of the same data that is already
        there is checked and returned.

    Raises:
        DataError: data that cannot be trained on, a store of other data, another preparation running,
            a full disk.
    """
    check_data(data)
    name = "".join(part.title() for part in data.name.split("-")) + "Blocks"
    body = {"num_fields": data.schema.num_fields}
    cls: Any = type(name, (ArrayStore,), body, skip_registration=True)
    rows = sum(getattr(data, split).num_rows for split in SPLITS)
    out = resolve(out)
    with writing_to(out, rows * (4 * data.schema.num_fields + 2)) as unfinished:
        folder = published(out / cls.name)
        if folder is None or overwrite or not _holds(folder, data, verify):
            builder = cls(data_dir=str(unfinished))
            builder.data, builder.clicks = data, {}
            with quiet():
                builder.download_and_prepare(download_dir=str(unfinished / "downloads"))
            folder = publish(out / cls.name)
    return {"folder": str(folder), **read_manifest(folder)}


def _identity(data: CTRData) -> Identity:
    """The identity of a data set once it is stored."""
    options = {**data.identity.options, "read from": STORE}
    return dataclasses.replace(data.identity, options=options)


def _holds(folder: pathlib.Path, data: CTRData, verify: bool) -> bool:
    """Whether the store in place holds `data`; see `is_same`."""
    manifest = read_manifest(folder, verify=verify)
    check_version(folder, manifest)
    known = Identity.from_config(manifest.get("identity")) or Identity()
    return is_same(folder, known, _identity(data))


def read_store(
    folder: str | os.PathLike[str], *, dataset: str | None = None, verify: bool = False
) -> CTRData:
    """Reads what `write_store` wrote, but for the transform, which its class reads.

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
    known = Identity.from_config(manifest.get("identity")) or Identity()
    with reading_manifest(folder):
        schema = FeatureSchema.from_config(manifest["schema"])
        splits = store_splits(folder, manifest)
        details = {**manifest["details"], "data_dir": str(folder)}
        train, validation, test = (splits[name] for name in SPLITS)
        return CTRData(manifest["dataset"], schema, train, validation, test, details, known=known)
