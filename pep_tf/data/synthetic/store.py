"""A store prepared from synthetic raw text: under its true name, with the truth of its rows and ids."""

import concurrent.futures
import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data.clicklogs.load import load_avazu, load_criteo
from pep_tf.data.clicklogs.transform import Transform
from pep_tf.data.dataset import CTRData
from pep_tf.data.store.assign import SPLITS, assign_rows
from pep_tf.data.store.manifest import read_manifest, reading_manifest
from pep_tf.data.store.place import find_store
from pep_tf.data.synthetic.row_source import BLOCK_ROWS, RowSource
from pep_tf.data.synthetic.splits import exact_scores, facts
from pep_tf.data.synthetic.text import tokens
from pep_tf.errors import DataError

_LOADERS = {"criteo": load_criteo, "avazu": load_avazu}
_TOKENS_AT_ONCE = 1 << 16


def synthetic_store(
    shape: str,
    data_dir: pathlib.Path,
    *,
    num_features: int = 2_000_000,
    seed: int = 0,
    verify: bool = False,
) -> CTRData:
    """Reads the store that was prepared from `write_raw_text(path, shape, ...)`.

    All rows are made once more (about a minute of one core for 20 million) for the best possible AUC
    of the validation and test rows, and to see that the store holds them: the clicks of each split
    must be the same.

    Args:
        shape: "criteo" or "avazu".
        data_dir: what `pep-tf prepare <shape>` wrote from the text.
        num_features, seed: those of `write_raw_text`. The N of the data set is that of the store.
        verify: see `load_criteo`.

    Returns:
        A `CTRData` named "synthetic-<shape>", with the `details` of the store and of `synthetic`.

    Raises:
        DataError: no store, or one of other rows.
    """
    store = find_store(data_dir)
    data, source = _LOADERS[shape](store, verify=verify), RowSource(shape, num_features, seed)
    manifest = read_manifest(store)
    with reading_manifest(store):
        rows, bad = manifest["lines"]["rows"], manifest["lines"]["bad"]
        seed_of_split = manifest["options"]["seed"]
        found = [manifest["splits"][name]["clicks"] for name in SPLITS]
    clicks, best = _scores(source, rows, seed_of_split)
    if bad or clicks != found:
        raise DataError(
            f"{store}: does not hold {rows} rows of synthetic-{shape} with num_features={num_features} and "
            f"seed={seed}: they have {clicks} clicks in {', '.join(SPLITS)}, "
            f"the store {found}, with {bad} bad lines."
        )
    details = {**data.details, **facts(source, rows, best)}
    return dataclasses.replace(data, name=f"synthetic-{shape}", details=details)


@dataclasses.dataclass(frozen=True)
class Planted:
    """The truth about each id (row of the table) of a synthetic data set.

    Attributes:
        frequency: float64 [N], P(a row has the id).
        useful_dims: int32 [N], numbers that its embedding needs (see `Truth`); of an id that several
            features share by hash, the most that one of them needs.
    """

    frequency: np.ndarray
    useful_dims: np.ndarray


def planted(data: CTRData) -> Planted:
    """The truth about the ids of a synthetic data set, made or read from a store.

    Raises:
        DataError: a data set that is not synthetic.
    """
    if not data.details.get("synthetic"):
        raise DataError(f"Nothing is planted in {data.name!r}: it is not synthetic.")
    names = ("shape", "num_features", "seed", "rank")
    source = RowSource(**{name: data.details[name] for name in names})
    features = np.arange(source.schema.num_features)
    ids = features
    if isinstance(data.transform, Transform):
        ids = _table_rows(source, data.transform)
    frequency = np.bincount(ids, source.truth.frequency(features), data.schema.num_features)
    useful_dims = np.zeros(data.schema.num_features, np.int32)
    np.maximum.at(useful_dims, ids, source.truth.useful_dims(features))
    return Planted(frequency, useful_dims)


def _table_rows(source: RowSource, transform: Transform) -> np.ndarray:
    """Row of a store's table, int64, of each feature of the source in order."""
    sizes, offsets, found = source.schema.sizes, transform.schema.offsets, []
    per_field: list[list[np.ndarray]] = [[] for _ in sizes]
    mapped = tf.function(transform, reduce_retracing=True, autograph=False)
    for start in range(0, max(sizes), _TOKENS_AT_ONCE):
        count = min(_TOKENS_AT_ONCE, max(sizes) - start)
        raw = {}
        for f, (name, size) in enumerate(zip(source.schema.names, sizes, strict=True)):
            own = np.minimum(np.arange(start, start + count), size - 1)
            raw[name] = tf.constant(tokens(source.shape, f, own))
        ids = mapped(raw).numpy()
        for f, size in enumerate(sizes):
            per_field[f].append(ids[: max(0, size - start), f])
    for f, parts in enumerate(per_field):
        found.append(np.concatenate(parts).astype(np.int64) + offsets[f])
    return np.concatenate(found)


def _scores(source: RowSource, rows: int, split_seed: int) -> tuple[list[int], dict[str, Any]]:
    """Clicks of each split, and AUC and log loss of the true probability in those held out."""

    def held_out(block: int) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        first = block * BLOCK_ROWS
        count = min(BLOCK_ROWS, rows - first)
        _, labels, probability = source.block(block)
        labels, probability = labels[:count], probability[:count]
        split, _ = assign_rows(np.arange(first, first + count), split_seed)
        clicks = np.bincount(split, labels, len(SPLITS))
        return clicks, [(labels[split == s], probability[split == s]) for s in (1, 2)]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(held_out, range(-(-rows // BLOCK_ROWS))))
    best = {}
    for at, name in enumerate(SPLITS[1:]):
        label, truth = (
            np.concatenate(part) for part in zip(*(f[1][at] for f in found), strict=True)
        )
        best[name] = exact_scores(label, truth)
    clicks = np.sum([clicks for clicks, _ in found], axis=0)
    return [int(n) for n in clicks], best
