"""What decides the content of a store: options, the transform that they make, and what it is made of."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pep_tf.data.clicklogs.encoding import HashEncoding, VocabularyEncoding
from pep_tf.data.clicklogs.formats import Feature, Format, default_features
from pep_tf.data.clicklogs.parse import ParsedBlock
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.store.assign import assign_rows
from pep_tf.errors import DataError
from pep_tf.numbers import read_fields, whole

ENCODINGS = ("hash", "vocabulary")
COUNT_ON = ("train", "all")
ON_BAD_ROW = ("error", "skip")
_ONLY_WITH = {"buckets": "hash", "min_count": "vocabulary", "count_on": "vocabulary"}


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


def transform_of(
    fmt: Format, options: ClickLogOptions, kept: Sequence[np.ndarray] = ()
) -> Transform:
    """The transform of a store; `kept` are the sorted keys of each field of a vocabulary."""
    features = options.features(fmt)
    if options.encoding == "hash":
        sizes = tuple(f.buckets for f in features)
        return Transform(fmt.name, features, HashEncoding(sizes, options.seed))
    encoding = VocabularyEncoding(kept, options.min_count, options.count_on)
    return Transform(fmt.name, features, encoding)


def count_keys(block: ParsedBlock, options: ClickLogOptions) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distinct keys of a block, and how many of the rows that count have each, field by field."""
    keys = block.keys
    if options.count_on == "train":
        keys = keys[assign_rows(block.rows, options.seed)[0] == 0]
    return [np.unique(column, return_counts=True) for column in np.ascontiguousarray(keys.T)]


def frequent(keys: np.ndarray, counts: np.ndarray, options: ClickLogOptions) -> np.ndarray:
    """The keys that occur often enough for an id of their own."""
    return keys[counts >= options.min_count]
