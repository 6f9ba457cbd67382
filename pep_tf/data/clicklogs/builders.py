"""Criteo and Avazu as sources of a store, and as TensorFlow Datasets: `tfds.load("criteo_kaggle")`.

TFDS's own `criteo` is another data set (uplift).
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from pep_tf.data.clicklogs import build
from pep_tf.data.clicklogs.collisions import BucketUse
from pep_tf.data.clicklogs.content import ContentDigest, refuse_change, still_holds
from pep_tf.data.clicklogs.encoding import HashEncoding
from pep_tf.data.clicklogs.formats import AVAZU, CRITEO, Format
from pep_tf.data.clicklogs.identity import click_log_identity, identity_of_manifest, options_of
from pep_tf.data.clicklogs.parse import ParsedBlock
from pep_tf.data.clicklogs.process import LineCounts, RawFile
from pep_tf.data.identity import Identity
from pep_tf.data.store.assign import assign_rows
from pep_tf.data.store.deal import DealtRows, Grouped, RowBlock
from pep_tf.data.store.manifest import (
    FILE,
    RAW_FILE,
    STORE,
    STORE_VERSION,
    Stamp,
    note_stamps,
    read_stamps,
    reading_manifest,
    stamp,
)
from pep_tf.data.store.place import is_same
from pep_tf.data.store.write import Shards, StoreBuilder
from pep_tf.errors import DataError


class ClickLog:
    """The rows of a raw file, mapped by `options`; see `Source`."""

    weighted = False

    def __init__(self, raw: RawFile, options: build.Options) -> None:
        self._raw, self._options = raw, options
        self.num_columns = len(raw.features)
        self._num_rows = build.estimate_rows(raw.path, raw.format)
        self.bytes_needed = self._num_rows * (4 * self.num_columns + 32)
        self.stamps: dict[str, Stamp] = {}

    def shards(self, folder: pathlib.Path) -> Shards:
        raw, seed = self._raw, self._options.seed
        self.stamps = {RAW_FILE: stamp(raw.path)}
        self._transform = transform = build.make_transform(raw, self._options)
        self._counts, content = LineCounts(raw.format), ContentDigest()
        hashed = isinstance(transform.encoding, HashEncoding)
        use = BucketUse(transform.schema) if hashed else None
        self._dealt = dealt = DealtRows(
            folder, self._num_rows, self.num_columns, progress=raw.progress
        )

        def work(block: ParsedBlock) -> Grouped:
            rows = raw.rows_of(block)
            ids = transform.ids(block.keys)
            if use is not None:
                use.add(ids)
            return dealt.group(RowBlock(rows, *assign_rows(rows, seed), block.labels, ids))

        mapped = raw.map(work, self._counts, "writing rows", content)
        dealt.fill((grouped for _, grouped in mapped), raw.path)
        self._content = content.digests()
        self._collisions = use.report() if use is not None else []
        refuse_change(raw.path, raw.format, self._content["features"], self.stamps[RAW_FILE])
        transform.save(folder)
        return dealt.shards()

    def facts(self) -> dict[str, Any]:
        raw = self._raw
        identity = self._identity(self._content)
        return {
            "dataset": raw.format.name,
            "version": STORE_VERSION,
            "raw": {"name": raw.path.name, "bytes": raw.path.stat().st_size},
            "options": dataclasses.asdict(self._options),
            "identity": identity.get_config(),
            "source": raw.format.source,
            "schema": self._transform.schema.get_config(),
            "transform_md5": self._transform.fingerprint,
            "lines": self._counts.to_dict(),
            "collisions": self._collisions,
            "splits": self._dealt.facts(),
        }

    def is_in(self, folder: pathlib.Path, manifest: dict[str, Any], verify: bool) -> bool:
        """See `Source.is_in`; the raw file is read again only if its stamp has changed, or to `verify`."""
        raw = self._raw
        with reading_manifest(folder):
            known = identity_of_manifest(manifest)
        if not is_same(folder, known, self._identity({})):
            return False
        now, before = stamp(raw.path), read_stamps(folder).get(RAW_FILE, ())
        text = known.content["features"]
        if not still_holds(raw.path, raw.format, text, before, verify=verify):
            content = ContentDigest()  # so that the message can name what changed
            for _ in raw.map(lambda block: True, LineCounts(raw.format), "comparing", content):
                pass
            is_same(folder, known, Identity(content=content.digests()))
        note_stamps(folder, {RAW_FILE: now})
        return True

    def _identity(self, content: dict[str, Any]) -> Identity:
        raw = self._raw
        return click_log_identity(raw.format, self._options, STORE, content, raw.path.name)


@dataclasses.dataclass
class ClickLogConfig(tfds.core.BuilderConfig):
    """A config that carries what decides the content of the store."""

    options: build.Options = dataclasses.field(default_factory=build.Options)


def config_of(options: build.Options) -> ClickLogConfig:
    """The config of a store; options other than the defaults make one of their own name."""
    name, text = options.encoding, _ENCODINGS[options.encoding]
    if options != build.Options(encoding=name):
        text = json.dumps(dataclasses.asdict(options), sort_keys=True)
        name = f"{name}-{hashlib.md5(text.encode()).hexdigest()[:8]}"
    return ClickLogConfig(name=name, description=text, options=options)


_ENCODINGS = {
    "hash": "features hashed into buckets, field by field",
    "vocabulary": "features seen at least 10 times in training; the rest share one id",
}


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


class ClickLogBuilder(StoreBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Prepares and reads the store of one format; without a `source` it looks in TFDS's `manual_dir`."""

    FORMAT: ClassVar[Format]
    RAW_NAMES: ClassVar[tuple[str, ...]]
    BUILDER_CONFIGS: ClassVar[list[ClickLogConfig]] = [
        config_of(build.Options(encoding=name)) for name in _ENCODINGS
    ]

    def __init__(self, *, data_dir: Any = None, config: Any = None, **kwargs: Any) -> None:
        if isinstance(config, ClickLogConfig) and config.name in build.ENCODINGS:
            config = config.name
        if config is None and data_dir is not None:
            config = _stored_config(pathlib.Path(data_dir) / self.name)
        super().__init__(data_dir=data_dir, config=config, **kwargs)

    def get_default_builder_config(self) -> ClickLogConfig:
        """What the folder is read as without this class: a store by itself under its own config."""
        default: ClickLogConfig = super().get_default_builder_config()
        return self.builder_config if hasattr(self, "source") else default

    @property
    def DESCRIPTION(self) -> str:  # type: ignore[override]  # noqa: N802 - as `StoreBuilder` has it
        return f"{self.FORMAT.source}. {self.builder_config.description or ''}"

    @property
    def num_columns(self) -> int:
        return len(self._options.features(self.FORMAT))

    @property
    def weighted(self) -> bool:
        return False

    @property
    def _options(self) -> build.Options:
        return getattr(self.builder_config, "options", build.Options())

    def _shard_iterators_per_split(self, dl_manager: Any) -> Shards:
        if not hasattr(self, "source"):
            folder = pathlib.Path(dl_manager.manual_dir)
            found = [folder / name for name in self.RAW_NAMES if (folder / name).is_file()]
            if not found:
                raise DataError(f"{folder}: none of {self.RAW_NAMES} is there; see the README.")
            options = self._options
            features = options.features(self.FORMAT)
            raw = RawFile(found[0], self.FORMAT, features, options.on_bad_row)
            self.source = ClickLog(raw, options)
        return super()._shard_iterators_per_split(dl_manager)


class CriteoKaggle(ClickLogBuilder):
    """Criteo's display advertising challenge of 2014: 39 fields."""

    FORMAT = CRITEO
    RAW_NAMES = ("train.txt", "train.txt.gz")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put train.txt or train.txt.gz into `manual_dir`."


class AvazuKaggle(ClickLogBuilder):
    """Avazu's click-through rate prediction of 2014: 22 fields."""

    FORMAT = AVAZU
    RAW_NAMES = ("train.csv", "train.csv.gz", "train.gz")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put train.csv or train.gz into `manual_dir`."


BUILDERS = {"criteo": CriteoKaggle, "avazu": AvazuKaggle}
