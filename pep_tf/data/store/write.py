"""Writes a store: the shards of a source through TFDS, a manifest beside them."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds

from pep_tf.data.store.deal import Example
from pep_tf.data.store.manifest import (
    STORE_VERSION,
    Stamp,
    check_version,
    read_manifest,
    write_manifest,
)
from pep_tf.data.store.place import publish, published, writing_to

Shards = dict[str, list[Callable[[], Iterator[Example]]]]


class Source(Protocol):
    """Rows that are to be stored.

    Attributes:
        num_columns: C, columns of ids.
        weighted: whether rows have weights.
        bytes_needed: about how many a store of them takes while it is written.
        stamps: of the raw files when they were read, by name.
    """

    weighted: bool
    bytes_needed: int
    stamps: dict[str, Stamp]

    @property
    def num_columns(self) -> int: ...

    def shards(self, folder: pathlib.Path) -> Shards:
        """The shards by split; what else the store has, such as a transform, is written to `folder`."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the data, once the shards are written."""
        ...

    def check(self, folder: pathlib.Path, manifest: dict[str, Any], verify: bool) -> None:
        """Raises DataError if the store in a folder holds other rows."""
        ...


def features_of(num_columns: int, weighted: bool) -> tfds.features.FeaturesDict:
    """What an example of a store holds."""
    shapes: dict[str, Any] = {"ids": (np.int32, num_columns), "label": (np.uint8,)}
    if weighted:
        shapes["weight"] = (np.float32,)
    return tfds.features.FeaturesDict(
        {
            name: tfds.features.Tensor(shape=(None, *shape), dtype=dtype, encoding="bytes")
            for name, (dtype, *shape) in shapes.items()
        }
    )


class StoreBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Rows of a `Source` as a TFDS data set, an example a block of rows as raw little-endian bytes.

    So they read several times faster than one example a row. `source` must be set.
    """

    VERSION = tfds.core.Version(STORE_VERSION)
    source: Source

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="",
            features=features_of(self.source.num_columns, self.source.weighted),
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> Shards:
        return self.source.shards(pathlib.Path(self.data_dir))

    def _write_shards(self, dl_manager: Any, download_config: Any) -> None:
        """Writes all shards, and tells TFDS what they are."""
        super()._download_and_prepare(dl_manager, download_config)

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        self._write_shards(dl_manager, download_config)
        # Inside the unfinished folder: TFDS renames it once all is there, so nothing half-made
        # ever bears the name of a store.
        facts = {**self.source.facts(), "version": STORE_VERSION, "weighted": self.source.weighted}
        write_manifest(pathlib.Path(self.data_dir), facts, self.source.stamps)


def write(
    source: Source,
    out: pathlib.Path,
    name: str,
    *,
    builder: type[StoreBuilder] = StoreBuilder,
    overwrite: bool = False,
    verify: bool = False,
) -> dict[str, Any]:
    """Writes the store of a source below `out`.

    Everything is written under `out/.unfinished` and takes its name when it is complete, so that a
    preparation which is killed leaves no store; the next one starts clean. An earlier store stays as
    it is until the new one is complete.

    Args:
        source: the rows.
        out: folder, made when missing; it holds one store of each data set.
        name: of the store; TFDS knows `criteo kaggle` as `criteo_kaggle`.
        builder: writes the shards.
        overwrite: replaces the store that is there.
        verify: of a store that is there, hashes every file even where size, times and inode are what
            they were.

    Returns:
        The manifest, with the store's folder as `folder`. A store of the same rows and options that is
        already there is checked and returned.

    Raises:
        DataError: bad input, a store of other rows or options, another preparation running, a full
            disk.
    """
    words = "".join(c if c.isalnum() and c.isascii() else " " for c in name).split()
    title = "".join(word.title() for word in words)
    kind: Any = type(title, (builder,), {"source": source}, skip_registration=True)
    with writing_to(out, source.bytes_needed) as unfinished:
        folder = published(out / kind.name)
        if folder is not None and not overwrite:
            manifest = read_manifest(folder, verify=verify)
            check_version(folder, manifest)
            source.check(folder, manifest, verify)
        else:
            with quiet():
                writer = kind(data_dir=str(unfinished))
                writer.download_and_prepare(download_dir=str(unfinished / "downloads"))
            folder = publish(out / kind.name)
    return {"folder": str(folder), **read_manifest(folder)}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of TFDS and nothing on standard output while it is open."""
    tfds.disable_progress_bar()
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        tfds.enable_progress_bar()
