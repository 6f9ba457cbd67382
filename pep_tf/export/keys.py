"""A ticket for other systems: by field the keys of what is kept, their columns and their numbers.

`schema.json` tells fields and encodings, and names a safetensors file for each field:

| array                     | what                                                                              |
|---------------------------|-----------------------------------------------------------------------------------|
| `keys`                    | the features of which something is kept: ids int32 [n], such as buckets of a hash; |
|                           | of a vocabulary their UTF-8 uint8, one text after the other, and                  |
| `key_offsets`, `ids`      | where each text starts, int64 [n + 1]; the ids of the features, int32 [n]         |
| `codes`                   | of a click log's vocabulary: uint64 [n], exact where a value is longer than 8 bytes |
| `indptr`                  | int64 [n + 1]: the entries of feature k are those from `indptr[k]` on             |
| `columns`, `values`       | int32 and float32 [nnz]; column d is the first-order weight                       |
| `dropped`                 | the features of which nothing is kept, as `keys`; with                            |
|                           | `dropped_key_offsets`, `dropped_ids` and `dropped_codes`                          |

A file is a CSR matrix [n, d + 1] with names for its rows. What a field's encoding calls `missing` or `unknown`
is an id of it, whose text is empty.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from pep_tf.data import CTRData
from pep_tf.data.field_keys import FieldKeys
from pep_tf.export.version_folder import publish_folder
from pep_tf.models import CTRModel

SCHEMA, FORMAT = "schema.json", 1


class Kept(NamedTuple):
    """The non-zero entries, by row, then by column."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], first_column: int = 0) -> "Kept":
        """The entries of row blocks float32 [n_i, d] in order; one block is held at a time."""
        parts, start = [], 0
        for block in blocks:
            rows, columns = np.nonzero(block)
            parts.append((rows + start, columns + first_column, block[rows, columns]))
            start += len(block)
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def and_others(self, others: "Kept") -> "Kept":
        """These entries and those of further columns."""
        rows, columns, values = map(np.concatenate, zip(self, others, strict=True))
        order = np.lexsort((columns, rows))
        return Kept(rows[order], columns[order], values[order])


def export_keys(
    model: CTRModel, folder: str | Path, *, data: CTRData, metadata: Mapping[str, Any]
) -> Path:
    """Writes a trained model's tables by key; see the top of the file.

    Args:
        model: with an embedding of this package.
        folder: new or empty.
        data: what the model was trained on; its transform gives the raw value of each id. Without one
            the keys are ids.
        metadata: JSON-ready facts for `schema.json`.

    Raises:
        RunError: a folder that is not empty, or cannot be written. Nothing is left half-written.
    """
    assert model.embedding is not None, "a ticket's model has one"
    schema, dim = data.schema, model.embedding.output_dim
    kept = Kept.of(model.embedding.row_blocks())
    if model.first_order is not None:
        kept = kept.and_others(Kept.of(model.first_order.row_blocks(), dim))
    transform = data.transform
    if transform is None:
        field_keys = [FieldKeys({"name": "ids"})] * schema.num_fields
    else:
        field_keys = transform.field_keys()
    places = np.searchsorted(kept.rows, [*schema.offsets, schema.num_features])

    def write(draft: Path) -> None:
        fields = []
        for i, (field, keys) in enumerate(zip(schema.fields, field_keys, strict=True)):
            own = Kept(*(part[places[i] : places[i + 1]] for part in kept))
            arrays = _arrays(own._replace(rows=own.rows - schema.offsets[i]), keys, field.size)
            name = f"field_{i:03d}.safetensors"
            safetensors.numpy.save_file(arrays, draft / name)
            about = {"name": field.name, "file": name, "size": field.size}
            bag = {"width": field.width, "combiner": field.combiner} if field.combiner else {}
            kept_keys = {"kept": len(arrays["indptr"]) - 1, "nnz": len(own.values)}
            fields.append({**about, **bag, **kept_keys, "encoding": keys.encoding})
        facts = {
            "pep_tf_keys": FORMAT,
            "embedding_dim": dim,
            "first_order_column": None if model.first_order is None else dim,
            "fields": fields,
            "metadata": metadata,
        }
        (draft / SCHEMA).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    return publish_folder(folder, write)


def _arrays(kept: Kept, keys: FieldKeys, size: int) -> dict[str, np.ndarray]:
    """The arrays of a field, whose rows are its ids."""
    ids, counts = np.unique(kept.rows, return_counts=True)
    dropped = _named(keys, np.delete(np.arange(size), ids))
    return {
        **_named(keys, ids),
        "indptr": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "columns": kept.columns.astype(np.int32),
        "values": kept.values.astype(np.float32),
        "dropped": dropped.pop("keys"),
        **{f"dropped_{name}": array for name, array in dropped.items()},
    }


def _named(keys: FieldKeys, ids: np.ndarray) -> dict[str, np.ndarray]:
    """What the keys of these ids are."""
    whole = ids.astype(np.int32)
    if keys.texts is None:
        return {"keys": whole}
    texts = [keys.texts[i] for i in ids.tolist()]
    codes = {} if keys.codes is None else {"codes": keys.codes[ids]}
    return {
        "keys": np.frombuffer(b"".join(texts), np.uint8),
        "key_offsets": np.cumsum([0, *map(len, texts)], dtype=np.int64),
        "ids": whole,
        **codes,
    }
