"""Criteo and Avazu as TensorFlow Datasets: `tfds.load("criteo_kaggle")`, `tfds build`, stored in blocks.

An example is a block of rows, `{"ids": int32 [n, F], "label": uint8 [n]}`, as raw little-endian bytes,
which reads several times faster than one example a row. Rows are shuffled globally while written.
TFDS's own `criteo` is another data set (uplift).
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from pep_tf.data.clicklogs import build
from pep_tf.data.clicklogs.content import refuse_change
from pep_tf.data.clicklogs.formats import AVAZU, CRITEO, Format
from pep_tf.data.clicklogs.identity import click_log_identity, options_of
from pep_tf.data.clicklogs.process import RawFile
from pep_tf.data.store.assign import SPLITS
from pep_tf.data.store.manifest import (
    FILE,
    STORE,
    STORE_VERSION,
    reading_manifest,
    stamp,
    write_manifest,
)
from pep_tf.errors import DataError


@dataclasses.dataclass
class ClickLogConfig(tfds.core.BuilderConfig):
    """A config that carries what decides the content of the store."""

    options: build.Options = dataclasses.field(default_factory=build.Options)


def _configs() -> list[ClickLogConfig]:
    return [
        ClickLogConfig(name=name, description=text, options=build.Options(encoding=name))
        for name, text in (
            ("hash", "features hashed into buckets, field by field"),
            ("vocabulary", "features seen at least 10 times in training; the rest share one id"),
        )
    ]


def new_builder(data_dir: pathlib.Path, raw: RawFile, options: build.Options) -> "ClickLogBuilder":
    """A builder that reads `raw`. Options other than the defaults make a config of their own name."""
    cls = BUILDERS[raw.format.name]
    config: str | ClickLogConfig
    if options == build.Options(encoding=options.encoding):
        config = options.encoding
    else:
        text = json.dumps(dataclasses.asdict(options), sort_keys=True)
        name = f"{options.encoding}-{hashlib.md5(text.encode()).hexdigest()[:8]}"
        config = ClickLogConfig(name=name, description=text, options=options)
    builder = cls(data_dir=str(data_dir), config=config)
    builder.raw_file = raw
    return builder


def _stored_config(folder: pathlib.Path) -> str | ClickLogConfig | None:
    """The config of the one store in a folder, whatever its options; None for no store, or several."""
    found = list(folder.glob(f"*/{STORE_VERSION}/{FILE}"))
    if len(found) != 1:
        return None
    name = found[0].parent.parent.name
    if name in build.ENCODINGS:  # the options are the defaults
        return name
    with reading_manifest(found[0].parent):
        return ClickLogConfig(name=name, options=options_of(json.loads(found[0].read_text())))


class ClickLogBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Prepares and reads the store of one format."""

    VERSION = tfds.core.Version(STORE_VERSION)
    FORMAT: ClassVar[Format]
    RAW_NAMES: ClassVar[tuple[str, ...]]
    # Set by `new_builder`; without it the raw file is looked for in TFDS's `manual_dir`.
    raw_file: RawFile | None = None

    def __init__(self, *, data_dir: Any = None, config: Any = None, **kwargs: Any) -> None:
        if config is None and data_dir is not None:
            config = _stored_config(pathlib.Path(data_dir) / self.name)
        super().__init__(data_dir=data_dir, config=config, **kwargs)

    def get_default_builder_config(self) -> ClickLogConfig:
        """What the folder is read as without this class: a store by itself under its own config."""
        default: ClickLogConfig = super().get_default_builder_config()
        return default if self.raw_file is None else self.builder_config

    def _info(self) -> tfds.core.DatasetInfo:
        num_fields = len(self._options.features(self.FORMAT))
        features = {
            "ids": tfds.features.Tensor(shape=(None, num_fields), dtype=np.int32, encoding="bytes"),
            "label": tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding="bytes"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.FORMAT.source}. {self.builder_config.description or ''}",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    @property
    def _options(self) -> build.Options:
        return getattr(self.builder_config, "options", build.Options())

    def _find_raw(self, dl_manager: Any) -> RawFile:
        if self.raw_file is not None:
            return self.raw_file
        folder = pathlib.Path(dl_manager.manual_dir)
        found = [folder / name for name in self.RAW_NAMES if (folder / name).is_file()]
        if not found:
            raise DataError(f"{folder}: none of {self.RAW_NAMES} is there; see the README.")
        features = self._options.features(self.FORMAT)
        return RawFile(found[0], self.FORMAT, features, self._options.on_bad_row)

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        self._bar.close()
        # Inside the unfinished folder: TFDS renames it once all is there, so nothing half-made
        # ever bears the name of a store.
        write_manifest(pathlib.Path(self.data_dir), self._facts(), self._raw_stamp)

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Any]]:
        folder = pathlib.Path(self.data_dir)
        raw = self._find_raw(dl_manager)
        self._raw, self._raw_stamp = raw, stamp(raw.path)
        self._transform = build.make_transform(raw, self._options)
        bins, count = build.new_bins(raw, folder, len(self._transform.features))
        self._dealt = build.deal_rows(raw, self._transform, self._options.seed, bins)
        self._content = self._dealt.content.digests()
        refuse_change(raw.path, raw.format, self._content["features"], self._raw_stamp)
        self._transform.save(folder)
        self._bar = tqdm.tqdm(
            total=sum(self._dealt.rows),
            desc="writing shards",
            unit="row",
            unit_scale=True,
            disable=not raw.progress,
        )
        self._writers = [build.SplitWriter(bins, s, self._bar.update) for s in range(len(SPLITS))]
        return {
            name: [writer.shard for _ in range(count)]
            for name, writer in zip(SPLITS, self._writers, strict=True)
        }

    def _facts(self) -> dict[str, Any]:
        path = self._raw.path
        identity = click_log_identity(self.FORMAT, self._options, STORE, self._content, path.name)
        return {
            "dataset": self.FORMAT.name,
            "version": STORE_VERSION,
            "raw": {"name": path.name, "bytes": path.stat().st_size},
            "options": dataclasses.asdict(self._options),
            "identity": identity.get_config(),
            "source": self.FORMAT.source,
            "schema": self._transform.schema.get_config(),
            "transform_md5": self._transform.fingerprint,
            "lines": self._dealt.counts.to_dict(),
            "collisions": self._dealt.collisions,
            "splits": {
                name: {
                    "rows": self._dealt.rows[s],
                    "clicks": self._dealt.clicks[s],
                    "rows_md5": self._writers[s].rows_md5,
                    "block_rows": self._writers[s].block_rows,
                }
                for s, name in enumerate(SPLITS)
            },
        }


class CriteoKaggle(ClickLogBuilder):
    """Criteo's display advertising challenge of 2014: 39 fields."""

    FORMAT = CRITEO
    RAW_NAMES = ("train.txt", "train.txt.gz")
    BUILDER_CONFIGS: ClassVar[list[ClickLogConfig]] = _configs()
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put train.txt or train.txt.gz into `manual_dir`."


class AvazuKaggle(ClickLogBuilder):
    """Avazu's click-through rate prediction of 2014: 22 fields."""

    FORMAT = AVAZU
    RAW_NAMES = ("train.csv", "train.csv.gz", "train.gz")
    BUILDER_CONFIGS: ClassVar[list[ClickLogConfig]] = _configs()
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put train.csv or train.gz into `manual_dir`."


BUILDERS = {"criteo": CriteoKaggle, "avazu": AvazuKaggle}
