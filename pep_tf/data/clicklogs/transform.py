"""The mapping from raw columns to ids: saved beside the data, and all that serving needs."""

import dataclasses
import hashlib
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.columns import Bucket, KnownKeys
from pep_tf.data.clicklogs.encoding import HashEncoding, VocabularyEncoding, encoding_from
from pep_tf.data.clicklogs.formats import FORMATS, Feature
from pep_tf.data.columns.encoder import Encoder
from pep_tf.data.columns.transform import ColumnTransform
from pep_tf.errors import DataError, reading
from pep_tf.paths import resolve

VERSION = 1
FILE = "transform.json"


class Transform(ColumnTransform):
    """Raw columns to per-field ids.

    `__call__` maps texts, in any `tf.function` and in the exported graph; `ids` the keys that a `Parser`
    found in a file, in preparation and in streaming. The values are those of a file, by the rules of
    `column_rules.py`. One not seen in training goes where preparation would have put it: to its bucket
    (`hash`), or to the out-of-vocabulary id 0 of its field (`vocabulary`).

    Args:
        format_name: `criteo` or `avazu`.
        features: the fields, in order.
        encoding: how keys become ids, `HashEncoding` or `VocabularyEncoding`.

    Attributes:
        fingerprint: md5 of everything that decides an id; two transforms with the same one map alike.

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
        if format_name not in FORMATS:
            raise DataError(
                f"`format_name` must be one of {list(FORMATS)}. Received: {format_name!r}"
            )
        if len(encoding.sizes) != len(features):
            raise DataError(
                f"`encoding` must have one size a field ({len(features)}). "
                f"Received: {len(encoding.sizes)} sizes."
            )
        fmt = FORMATS[format_name]
        with tf.device("CPU"):
            encoders: dict[str, Encoder] = {
                f.name: Bucket(fmt, f, size, encoding.salts[place], encoding.seed)
                if isinstance(encoding, HashEncoding)
                else KnownKeys(fmt, f, encoding.kept[place])
                for place, (f, size) in enumerate(zip(features, encoding.sizes, strict=True))
            }
        super().__init__(encoders, {f.name: f.column for f in features})
        self.format_name, self.features, self.encoding = format_name, features, encoding
        digest = hashlib.md5(json.dumps(self._config(), sort_keys=True).encode())
        for array in encoding.arrays().values():
            digest.update(np.ascontiguousarray(array).tobytes())
        self.fingerprint = digest.hexdigest()

    def ids(self, keys: np.ndarray) -> np.ndarray:
        """Ids int32 [n, F] of the keys uint64 [n, F] that a `Parser` found."""
        return self.encoding.ids(keys)

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
