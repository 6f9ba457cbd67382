"""From a raw file to shuffled bins: the transform is made, every row goes through it, all are dealt out."""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pep_tf.data.clicklogs.encoding import HashEncoding, VocabularyEncoding
from pep_tf.data.clicklogs.formats import Feature, Format, default_features
from pep_tf.data.clicklogs.parse import ParsedBlock
from pep_tf.data.clicklogs.process import ON_BAD_ROW, LineCounts, RawFile
from pep_tf.data.clicklogs.text import TextBlock, is_gzip, read_blocks
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.counting import Counter
from pep_tf.data.identity import Identity
from pep_tf.data.store.assign import assign_rows
from pep_tf.errors import DataError
from pep_tf.numbers import read_fields, whole

ENCODINGS = ("hash", "vocabulary")
COUNT_ON = ("train", "all")
_ONLY_WITH = {"buckets": "hash", "min_count": "vocabulary", "count_on": "vocabulary"}
# Click logs shrink about threefold under gzip; only the number of bins depends on it.
_GZIP_RATIO = 3


@dataclasses.dataclass(frozen=True)
class ClickLogOptions:
    """What decides the content of a store, the raw file apart.

    Attributes:
        encoding: `hash` or `vocabulary`.
        buckets: hash only: `{field: size}`, for the fields whose default is not wanted.
        min_count: vocabulary only: features seen less often share the out-of-vocabulary id.
        count_on: vocabulary only: `train` counts the training split, `all` every row.
        hour: Avazu only: `raw` or `parts`.
        seed: of hash, split and shuffle.
        on_bad_row: `error` or `skip`.

    Raises:
        DataError: a value that cannot be, or one that has no effect with the encoding.
    """

    encoding: str = "hash"
    buckets: Mapping[str, int] = dataclasses.field(default_factory=dict)
    min_count: int = 10
    count_on: str = "train"
    hour: str = "raw"
    seed: int = 0
    on_bad_row: str = "error"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("encoding", ENCODINGS),
            ("count_on", COUNT_ON),
            ("on_bad_row", ON_BAD_ROW),
        ):
            if getattr(self, name) not in allowed:
                raise DataError(
                    f"`{name}` must be one of {allowed}. Received: {getattr(self, name)!r}"
                )
        read_fields(self, {"min_count": 1, "seed": 0})
        buckets = {name: whole(f"buckets of {name}", size) for name, size in self.buckets.items()}
        object.__setattr__(self, "buckets", buckets)
        plain = {
            "buckets": {},
            "min_count": ClickLogOptions.min_count,
            "count_on": ClickLogOptions.count_on,
        }
        check_effects(self.encoding, [n for n, value in plain.items() if getattr(self, n) != value])

    def features(self, fmt: Format) -> tuple[Feature, ...]:
        """The fields of `fmt` with their buckets.

        Raises:
            DataError: `buckets` names an unknown field, or `hour` is set where there is none.
        """
        if self.hour != ClickLogOptions.hour and not fmt.hours:
            raise DataError(f"`hour` has no effect on {fmt.name}, which has no such column.")
        features = default_features(fmt, self.hour)
        names = [f.name for f in features]
        if unknown := sorted(set(self.buckets) - set(names)):
            raise DataError(f"`buckets` must name fields of {fmt.name}. Received: {unknown}")
        features = tuple(
            dataclasses.replace(f, buckets=self.buckets.get(f.name, f.buckets)) for f in features
        )
        if self.encoding == "hash":  # refused now, before anything is read
            HashEncoding(tuple(f.buckets for f in features), self.seed)
        return features

    def identity(self, raw: RawFile, content: Mapping[str, Any]) -> Identity:
        """The identity of a raw text that is read with these options.

        Args:
            raw: the file.
            content: from `ContentDigest.digests`; empty where it is not known.
        """
        return Identity(content, *self.parts(raw.format), source=raw.path.name)

    def parts(self, fmt: Format) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Mapping, split and options of an `Identity`, of raw text; what has no effect is left out."""
        mapping: dict[str, Any] = {"encoding": self.encoding}
        if self.encoding == "hash":
            sizes = {f.name: f.buckets for f in self.features(fmt)}
            mapping |= {"hash seed": self.seed, "buckets": sizes}
        else:
            mapping |= {"min_count": self.min_count, "count_on": self.count_on}
        mapping |= {"hour": self.hour} if fmt.hours else {}
        return mapping, {"split seed": self.seed}, {"on_bad_row": self.on_bad_row}


def check_effects(encoding: str, given: Collection[str]) -> None:
    """Refuses options, by name, that were given and can have no effect with an encoding.

    Raises:
        DataError: such an option.
    """
    for name in given:
        if (only := _ONLY_WITH.get(name, encoding)) != encoding:
            raise DataError(
                f"`{name}` has no effect with encoding={encoding}: it is for {only}. Leave it out."
            )


def make_transform(raw: RawFile, options: ClickLogOptions) -> Transform:
    """The transform of a store; for `vocabulary` this reads the raw file once."""
    if options.encoding == "hash":
        return hash_transform(raw.format, options)
    counters = [Counter() for _ in raw.features]

    def count(block: ParsedBlock) -> list[tuple[np.ndarray, np.ndarray]]:
        return count_keys(block, raw.rows_of(block), options)

    for _, found in raw.map(count, LineCounts(raw.format), "counting features"):
        for counter, (keys, counts) in zip(counters, found, strict=True):
            counter.add(keys, counts)
    kept = [frequent(*counter.result(), options) for counter in counters]
    return vocabulary_transform(raw.format, options, kept)


def hash_transform(fmt: Format, options: ClickLogOptions) -> Transform:
    """The transform of a store whose features are hashed."""
    features = options.features(fmt)
    sizes = tuple(f.buckets for f in features)
    return Transform(fmt.name, features, HashEncoding(sizes, options.seed))


def vocabulary_transform(
    fmt: Format, options: ClickLogOptions, kept: Sequence[np.ndarray]
) -> Transform:
    """That of one with a vocabulary: sorted keys of each field."""
    encoding = VocabularyEncoding(kept, options.min_count, options.count_on)
    return Transform(fmt.name, options.features(fmt), encoding)


def count_keys(
    block: ParsedBlock, rows: np.ndarray, options: ClickLogOptions
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distinct keys of a block, and how many of the rows that count have each, field by field."""
    keys = block.keys
    if options.count_on == "train":
        keys = keys[assign_rows(rows, options.seed)[0] == 0]
    return [np.unique(column, return_counts=True) for column in np.ascontiguousarray(keys.T)]


def frequent(keys: np.ndarray, counts: np.ndarray, options: ClickLogOptions) -> np.ndarray:
    """The keys that occur often enough for an id of their own."""
    return keys[counts >= options.min_count]


def estimate_rows(path: pathlib.Path, fmt: Format) -> int:
    """About how many rows a raw file has, from its size and its first lines.

    Raises:
        DataError: no line but a header; see `read_blocks` for the rest.
    """
    block = next(read_blocks(path, fmt), None)
    return rows_like(block, path.stat().st_size * (_GZIP_RATIO if is_gzip(path) else 1), path)


def rows_like(block: TextBlock | None, size: int, path: object) -> int:
    """About how many rows a text of some bytes has, if all are as those of its first block."""
    if block is None:
        raise DataError(f"{path}: no row in it, only a header.")
    return int(size / (len(block.data) / max(block.data.count(b"\n"), 1)))
