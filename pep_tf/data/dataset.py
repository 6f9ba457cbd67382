"""What training asks of a data set: three splits that stream batches in a repeatable order."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pep_tf.data import checks
from pep_tf.data.identity import Identity
from pep_tf.data.prefetch import prefetch
from pep_tf.data.raw import Examples, RawTransform
from pep_tf.data.row_digest import RowDigest
from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import DataError

_ROWS_AT_ONCE = 8192  # of a split that is read to be checked


class Split(Protocol):
    """Rows of one split. `md5` names which rows they are (see the class that implements it).

    A split may also have `classes`, the labels that occur in it, in order. One that has it vouches
    for its ids and labels; any other is read once, and checked, before something trains on it.
    """

    @property
    def num_rows(self) -> int: ...

    @property
    def md5(self) -> str: ...

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """Streams (ids int32 [B, C], label float32 [B]); ids are per field, without offsets.

        The column of a number has the bits of a float32, bags have several columns (see `Field`).

        Where rows have weights, a third part: float32 [B]. Loss and metrics are then weighted means.

        The order is a function of (`seed`, `epoch`) alone, so that a resumed run can name where it
        stopped by a batch number and needs no iterator state.

        Args:
            batch_size: rows per batch; the last batch of an epoch holds what is left.
            seed: shuffles when given; None keeps the stored order.
            epoch: which shuffle of that seed.
            start: number of leading batches to leave out.
        """
        ...


@dataclasses.dataclass(frozen=True)
class CTRData:
    """A data set ready to train on.

    Attributes:
        name: the data set that was really used; written into every result.
        schema: fields and vocabulary sizes.
        train, validation, test: the splits.
        details: JSON-ready facts on its origin (source, rows read, rows dropped, features).
        transform: raw columns to the ids of this data set, for serving; None where there are none.
        examples: two raw rows, for the requests that an export comes with; None where the raw rows
            are not at hand.
        known: what the reader knows of the identity; the rest is found from splits and transform.

    Raises:
        DataError: a split that is none, is empty, or holds ids outside the fields of `schema`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> ids, labels = rng.integers(0, [5, 7], (100, 2)), rng.integers(0, 2, 100)
        >>> splits = pep_tf.data.split_arrays(ids, labels, seed=0)
        >>> CTRData("mine", FeatureSchema.of({"user": 5, "item": 7}), *splits).train.num_rows
        80
    """

    name: str
    schema: FeatureSchema
    train: Split
    validation: Split
    test: Split
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    transform: RawTransform | None = None
    examples: Examples | None = None
    known: Identity = dataclasses.field(default_factory=Identity)

    def __post_init__(self) -> None:
        if not isinstance(self.schema, FeatureSchema):
            raise DataError(
                "`schema` must be a FeatureSchema, such as FeatureSchema.of({'user': 5, 'item': 7}). "
                f"Received: {type(self.schema).__name__}"
            )
        for name, split in self.splits.items():
            if not all(hasattr(split, member) for member in ("batches", "num_rows", "md5")):
                raise DataError(
                    f"`{name}` must be a split, such as ArraySplit(ids, labels, rows). "
                    f"Received: {type(split).__name__}"
                )
            if split.num_rows < 1:
                raise DataError(f"`{name}` must hold at least one row. Received: {split.num_rows}")
            if isinstance(split, ArraySplit):
                checks.check_fields(name, split.ids, self.schema)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @functools.cached_property
    def _trainable(self) -> bool:
        for name, split in self.splits.items():
            classes = getattr(split, "classes", None)
            if classes is None:
                classes = checks.read_classes(name, split.batches(_ROWS_AT_ONCE), self.schema)
            checks.check_classes(name, split.num_rows, classes)
        return True

    @functools.cached_property
    def identity(self) -> Identity:
        """Which data it is, by content; see `Identity`."""
        known, mapping = self.known, dict(self.known.mapping)
        mapping |= {} if "buckets" in mapping else {"sizes": self.schema.size_by_name}
        if fingerprint := getattr(self.transform, "fingerprint", None):
            mapping["ids"] = fingerprint
        return dataclasses.replace(
            known,
            content=_content(known, self.splits),
            mapping=mapping,
            split=known.split or {"assignment": assignment(self.splits.values())},
            options={"read from": "memory", **known.options},
        )


def assignment(splits: Iterable[Split]) -> str:
    """A digest of which rows are train, validation and test, of these splits in this order."""
    return hashlib.md5("".join(split.md5 for split in splits).encode()).hexdigest()


def _content(known: Identity, splits: Mapping[str, Split]) -> dict[str, Any]:
    """What the reader knows of the content, and what splits in memory hold."""
    held = {
        name: split.row_digest
        for name, split in splits.items()
        if isinstance(split, ArraySplit) and not split.is_known
    }
    if len(held) == len(splits):
        return {**known.content, **sum(held.values(), RowDigest()).digests()}
    rows = {"rows": sum(split.num_rows for split in splits.values())}
    # A split that was put in the place of the reader's own.
    own = {f"own rows in {name}": digest.digests()["features"] for name, digest in held.items()}
    return {**rows, **known.content, **own}


def require_data(data: Any) -> None:
    """Raises DataError unless `data` is a `CTRData`."""
    if not isinstance(data, CTRData):
        raise DataError(
            "`data` must be a CTRData: what `pep_tf.data.load` returns, a DataFrame of your own by "
            "`pep_tf.data.from_dataframe(df, label, features)`, or arrays and tf.data.Datasets by "
            "`pep_tf.data.from_arrays((ids, labels), fields)`. "
            f"Received: {type(data).__name__}"
        )


def check_data(data: Any) -> None:
    """Raises DataError unless every split of a `CTRData` can be trained on and scored.

    What a split does not know of itself is read once, whatever is trained on it.
    """
    require_data(data)
    _ = data._trainable  # once for each data set


class ArraySplit:
    """A split held in memory.

    Args:
        ids: whole numbers [n, F], ids per field, from 0; kept as int32.
        labels: [n], 0 or 1; kept as float32.
        rows: integers [n], each row's index in the whole data set; `md5` is the md5 of these.
        content: int32 [n, k], what the ids were made from, for `row_digest`; None: the ids themselves.
        weights: [n], how much each row counts, 0 or more; None: all alike. A row of weight 2 counts as
            the row twice.
        is_float: see `FeatureSchema.is_float`; None: there are no numbers.

    Raises:
        DataError: arrays of different lengths, a label other than 0 and 1, an id that is no whole
            number from 0 to 2^31 - 1 (none is cut or wrapped), or a weight below 0 or not finite.
    """

    is_known = False  # whether the identity of the data set tells what the rows hold

    def __init__(
        self,
        ids: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        content: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        is_float: np.ndarray | None = None,
    ) -> None:
        self.ids = checks.whole_ids(ids, is_float=is_float)
        self.labels = checks.binary_labels(labels, len(self.ids))
        self.weights = None if weights is None else checks.row_weights(weights, len(self.ids))
        counting = self.labels if self.weights is None else self.labels[self.weights > 0]
        self.classes = checks.counted_classes(len(counting), int(np.count_nonzero(counting)))
        self._content = content
        self.row_numbers = checks.row_numbers(rows, len(self.ids))
        self.md5 = hashlib.md5(self.row_numbers.tobytes()).hexdigest()

    @functools.cached_property
    def row_digest(self) -> RowDigest:
        """Digest of what the rows hold, whatever their order."""
        content = self.ids if self._content is None else self._content
        if self.weights is not None:
            content = np.concatenate([content, self.weights[:, None].view(np.int32)], axis=1)
        return RowDigest.of(self.row_numbers, content, self.labels)

    @property
    def num_rows(self) -> int:
        return len(self.labels)

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """See `Split.batches`."""
        order = np.arange(self.num_rows, dtype=np.int64)
        if seed is not None:
            order = np.random.default_rng([seed, epoch]).permutation(order)
        parts = [self.ids, self.labels] + ([] if self.weights is None else [self.weights])
        held, rows = [tf.constant(part) for part in parts], tf.constant(order)

        def batch(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
            taken = rows[index * batch_size : (index + 1) * batch_size]
            return tuple(tf.gather(part, taken) for part in held)

        numbers = tf.data.Dataset.range(start, -(-self.num_rows // batch_size))
        return prefetch(numbers.map(batch, num_parallel_calls=2, deterministic=True), 4)
