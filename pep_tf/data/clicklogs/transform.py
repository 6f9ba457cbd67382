"""The mapping from raw columns to ids: saved beside the data, and all that serving needs."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.backends import NUMPY, TENSORFLOW
from pep_tf.data.clicklogs.encoding import HashEncoding, VocabularyEncoding, encoding_from
from pep_tf.data.clicklogs.feature_keys import FeatureKeys
from pep_tf.data.clicklogs.formats import FORMATS, Feature
from pep_tf.data.clicklogs.request_rows import RequestRows
from pep_tf.data.clicklogs.tokens import tokens_of_strings
from pep_tf.data.field_keys import FieldKeys
from pep_tf.data.raw import RawColumn
from pep_tf.data.schema import FeatureSchema
from pep_tf.errors import DataError, reading
from pep_tf.paths import resolve

VERSION = 1
FILE = "transform.json"


class Transform(tf.Module):
    """Raw columns to per-field ids.

    The same functions run on NumPy arrays (`Parser`, then `ids`: preparation, streaming from text) and on
    tensors (`__call__`: any `tf.function`, the exported serving graph).

    Args:
        format_name: `criteo` or `avazu`.
        features: the fields, in order.
        encoding: how keys become ids, `HashEncoding` or `VocabularyEncoding`.

    Example:
        >>> from pep_tf.data.clicklogs.formats import CRITEO, default_features
        >>> features = default_features(CRITEO)
        >>> transform = Transform("criteo", features, HashEncoding((1000,) * len(features)))
        >>> raw = {name: tf.constant(["5"]) for name in transform.raw_columns()}
        >>> transform(raw).shape
        TensorShape([1, 39])
    """

    def __init__(
        self,
        format_name: str,
        features: tuple[Feature, ...],
        encoding: HashEncoding | VocabularyEncoding,
    ) -> None:
        super().__init__(name="transform")
        if format_name not in FORMATS:
            raise DataError(
                f"`format_name` must be one of {list(FORMATS)}. Received: {format_name!r}"
            )
        self.format_name = format_name
        self.features = features
        self.encoding = encoding
        self.feature_keys = FeatureKeys(features)
        columns = tuple(dict.fromkeys(self.feature_keys.columns))
        self._requests = RequestRows(FORMATS[format_name], columns)
        self._places = [columns.index(c) for c in self.feature_keys.columns]
        if len(encoding.sizes) != len(features):
            raise DataError(
                f"`encoding` must have one size a field ({len(features)}). "
                f"Received: {len(encoding.sizes)} sizes."
            )

    @property
    def schema(self) -> FeatureSchema:
        names = (f.name for f in self.features)
        return FeatureSchema.of(dict(zip(names, self.encoding.sizes, strict=True)))

    def ids(self, keys: np.ndarray) -> np.ndarray:
        """Ids int32 [n, F] of the keys uint64 [n, F] that a `Parser` found."""
        return self.encoding.ids(NUMPY, keys)

    def raw_columns(self) -> dict[str, RawColumn]:
        """The columns that `__call__` reads: strings [B], as the log has them."""
        return self._requests.columns

    def field_keys(self) -> list[FieldKeys]:
        """See `RawTransform.field_keys`."""
        found = self.encoding.field_keys([f.kind for f in self.features])
        named = zip(self.features, found, strict=True)
        return [
            dataclasses.replace(
                keys, encoding={**keys.encoding, "column": f.column, "kind": f.kind}
            )
            for f, keys in named
        ]

    def without(self, empty: np.ndarray) -> "Transform":
        """See `RawTransform.without`; a hash has nothing to leave out."""
        if isinstance(self.encoding, HashEncoding):
            return self
        fields = np.split(empty, self.schema.offsets[1:])
        smaller = self.encoding.without([f[1:] & f[0] for f in fields])
        return Transform(self.format_name, self.features, smaller)

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Ids of a batch of raw columns, for serving graphs.

        - The values are those of a file, by the rules of `column_rules.py`: what preparation would
          refuse fails the batch, the column named in the message.
        - An empty string is "missing": the same id as an empty field of the training text.
        - A value not seen in training goes where preparation would have put it: its own bucket
          (`hash`), or the out-of-vocabulary id 0 of its field (`vocabulary`).
        - Integer tensors are taken as their decimal text.

        Args:
            raw: `{column: string or integer tensor [B]}`; columns that no field reads may be absent,
                others are ignored.

        Returns:
            int32 [B, F], ids per field, without offsets.

        Raises:
            DataError: a column is absent, or neither text nor integers.
            InvalidArgumentError: a value that preparation would refuse.
        """
        columns = self.raw_columns()
        if absent := sorted(set(columns) - set(raw)):
            raise DataError(f"`raw` must hold every column of the transform. Missing: {absent}")
        with tf.device("CPU"):
            rows = self._requests(tf.stack([_as_text(raw[c], c) for c in columns], axis=1))
            if self._places != list(range(len(columns))):  # hour of day and weekday read one column
                rows = tf.gather(rows, self._places, axis=1)
            keys, _ = self.feature_keys(TENSORFLOW, tokens_of_strings(rows))
            return self.encoding.ids(TENSORFLOW, keys)

    @property
    def fingerprint(self) -> str:
        """md5 of everything that decides an id; two transforms with the same one map alike."""
        digest = hashlib.md5(json.dumps(self._config(), sort_keys=True).encode())
        for array in self.encoding.arrays().values():
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _config(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "format": self.format_name,
            "features": [dataclasses.asdict(f) for f in self.features],
            "encoding": self.encoding.config(),
        }

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `transform.json`, and `transform.npz` when there is a vocabulary."""
        folder = resolve(folder)
        arrays = self.encoding.arrays()
        if arrays:
            np.savez(folder / "transform.npz", **arrays)  # type: ignore[arg-type]
        text = json.dumps(self._config() | {"md5": self.fingerprint}, indent=1)
        (folder / FILE).write_text(text + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Transform":
        """Reads what `save` wrote.

        Raises:
            DataError: no transform there, of another version, or damaged.
        """
        path = resolve(folder) / FILE
        if not path.is_file():
            raise DataError(f"{path}: no such file; the folder holds no transform.")
        with reading(path, DataError, "prepare the data again"):
            config = json.loads(path.read_text())
            if (version := config.get("version")) != VERSION:
                raise DataError(f"`version` must be {VERSION}. Received: {version!r}")
            features = tuple(Feature(**f) for f in config["features"])
            encoding = encoding_from(config["encoding"], path.with_suffix(".npz"))
            transform = cls(config["format"], features, encoding)
            if transform.fingerprint != config["md5"]:
                raise DataError("its content does not match its md5")
        return transform


def _as_text(values: tf.Tensor, column: str) -> tf.Tensor:
    values = tf.convert_to_tensor(values)
    if values.dtype.is_integer:
        return tf.strings.as_string(values)
    if values.dtype != tf.string:
        raise DataError(f"`{column}` must be text or integers. Received: {values.dtype.name}")
    return values
