"""Any data set that fits in memory, written to and read from the same block store as the click logs."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pep_tf.data.clicklogs.build import BLOCK_ROWS
from pep_tf.data.clicklogs.formats import STORE_VERSION
from pep_tf.data.clicklogs.manifest import read_manifest, write_manifest
from pep_tf.data.clicklogs.quiet import quiet
from pep_tf.data.clicklogs.rows import SPLITS
from pep_tf.data.clicklogs.store import store_splits
from pep_tf.data.dataset import CTRData, check_data
from pep_tf.data.schema import FeatureSchema


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
        for index, (ids, labels) in enumerate(batches):
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
            "schema": data.schema.get_config(),
            "splits": splits,
        }
        write_manifest(pathlib.Path(self.data_dir), facts)


def write_store(data: CTRData, out: pathlib.Path) -> dict[str, Any]:
    """Writes `data` below `out`; the store takes its name when it is complete.

    Returns:
        The manifest, with the store's folder as `folder`.

    Raises:
        DataError: data that cannot be trained on.
    """
    check_data(data)
    name = "".join(part.title() for part in data.name.split("-")) + "Blocks"
    body = {"num_fields": data.schema.num_fields}
    cls = type(name, (ArrayStore,), body, skip_registration=True)
    builder = cls(data_dir=str(out))
    builder.data, builder.clicks = data, {}
    with quiet():
        builder.download_and_prepare(download_dir=str(out / ".downloads"))
    folder = pathlib.Path(builder.data_dir)
    return {"folder": str(folder), **read_manifest(folder)}


def read_store(folder: pathlib.Path, *, verify: bool = True) -> CTRData:
    """Reads what `write_store` wrote.

    Raises:
        DataError: no store, damaged, or of another version.
    """
    manifest = read_manifest(folder, verify=verify)
    schema = FeatureSchema.from_config(manifest["schema"])
    splits = store_splits(folder, manifest)
    details = {**manifest["details"], "data_dir": str(folder)}
    train, validation, test = (splits[name] for name in SPLITS)
    return CTRData(manifest["dataset"], schema, train, validation, test, details)
