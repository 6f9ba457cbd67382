"""`model_card.json`: the facts about an export, beside it."""

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from pep_tf.data.schema import FLOAT
from pep_tf.errors import DataError
from pep_tf.export.serving_module import ServingModule
from pep_tf.paths import resolve
from pep_tf.tables.packed import StoredTable

MODEL_CARD = "assets.extra/model_card.json"


def model_card(module: ServingModule, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """The card without its file list: the caller's facts, then sizes, types and versions."""
    schema = module.schema
    card: dict[str, Any] = {
        **(metadata or {}),
        "fields": schema.get_config(),
        "ids": {
            "signature": "ids",
            "dtype": "int32",
            "shape": [None, int(sum(~schema.is_float))],
            "range": "[0, size of the field)",
        },
        "num_features": schema.num_features,
        "embedding_dim": module.table.dim,
        "export_dtype": module.dtype,
        "precision": module.tower.precision,
        "table": describe(module.table),
        "first_order": None if module.first_order is None else describe(module.first_order),
        "tower_bytes": sum(tensor_bytes(v) for v in module.tower.variables),
        "tower_bytes_float32": sum(4 * v.shape.num_elements() for v in module.tower.variables),
        "vocabulary_bytes": 0,
        "versions": versions(),
    }
    if schema.is_float.any():
        names = [field.name for field in schema.fields if field.combiner == FLOAT]
        card["values"] = {"signature": "ids", "dtype": "float32", "fields": names}
    if module.transform is not None:
        columns = module.transform.raw_columns().items()
        card["raw_columns"] = {name: column.dtype.name for name, column in columns}
        card["raw_values"] = {name: column.must_be for name, column in columns}
        card["missing_values"] = {name: column.missing for name, column in columns}
    return card


def write_card(card: Mapping[str, Any], version: Path) -> None:
    """Writes the card with size and checksum of every file that is there already."""
    files = {
        str(path.relative_to(version)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(version.rglob("*"))
        if path.is_file()
    }
    path = version / MODEL_CARD
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**card, "files": files}, indent=2) + "\n", encoding="utf-8")


def read_card(version: str | Path) -> dict[str, Any]:
    """Reads the card of a version.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = resolve(version) / MODEL_CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(card, dict):
            raise ValueError("not an object")
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; name a version of an exported model."
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); export the model again.") from error
    return card


def tensor_bytes(variable: tf.Variable) -> int:
    """Bytes of a variable's numbers, or of the characters of its texts."""
    if variable.dtype == tf.string:
        return int(tf.reduce_sum(tf.strings.length(variable)))
    return int(variable.shape.num_elements() * variable.dtype.size)


def vocabulary_bytes(module: ServingModule) -> int:
    """Bytes of the transform's variables; they are there once the graph has been traced."""
    return sum(tensor_bytes(v) for v in getattr(module.transform, "variables", ()))


def versions() -> dict[str, str]:
    """The versions that an export was made with."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def describe(table: StoredTable) -> dict[str, Any]:
    """Form, sizes and bytes of a stored table."""
    parts = table.parts()
    return {
        "format": type(table).__name__,
        "rows": table.num_rows,
        "dim": table.dim,
        "nnz": table.nnz,
        "bytes": sum(parts.values()),
        "bytes_by_part": parts,
        "bound_bytes": round(table.bound_bytes),
        "dense_bytes": 4 * table.num_rows * table.dim,
    }


def sha256(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
