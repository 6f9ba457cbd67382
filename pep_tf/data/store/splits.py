"""A prepared store as splits that stream."""

import functools
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.data import checks
from pep_tf.data.prefetch import prefetch
from pep_tf.data.schema import FeatureSchema
from pep_tf.data.store import windows
from pep_tf.data.store.windows import WINDOW_BLOCKS
from pep_tf.errors import DataError

_READ_BUFFER = 4 << 20
_ROWS_AT_ONCE = 8192  # when the labels are read for their classes


class StoreSplit:
    """One split of a prepared store; implements `Split`.

    Args:
        paths: the TFRecord shards, in order.
        block_rows: rows of each block, shard by shard.
        num_columns: C, columns of ids.
        md5: of its row numbers (int64) in stored order.
        clicks: how many rows are labelled 1, where that is known.
        weighted: whether rows have weights.
    """

    def __init__(
        self,
        paths: list[pathlib.Path],
        block_rows: list[list[int]],
        num_columns: int,
        md5: str,
        clicks: int | None = None,
        weighted: bool = False,
    ) -> None:
        self._paths = [str(p) for p in paths]
        self._block_rows, self._num_columns, self.md5 = block_rows, num_columns, md5
        self._clicks, self._weighted = clicks, weighted

    @property
    def num_rows(self) -> int:
        return sum(map(sum, self._block_rows))

    @functools.cached_property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur, in order: as the manifest says, or read until both are seen."""
        if self._clicks is not None:
            return checks.counted_classes(self.num_rows, self._clicks)
        return checks.classes_of(labels.numpy() for _, labels, *_ in self.batches(_ROWS_AT_ONCE))

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """See `Split.batches`. Shards before `start` are not opened."""
        order = windows.permutation(len(self._paths), seed, epoch)
        block_rows = [n for shard in order for n in self._block_rows[shard]]
        at = windows.locate(windows.group_rows(block_rows, WINDOW_BLOCKS), start * batch_size)
        blocks = self._records(order, at.window * WINDOW_BLOCKS)
        mixing = None if seed is None else windows.window_seed(seed, epoch)

        def window(index: tf.Tensor, records: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return windows.mix_rows(self._decode(records), mixing, index, at)

        mixed = (
            blocks.batch(WINDOW_BLOCKS)
            .enumerate(at.window)
            .map(window, num_parallel_calls=2, deterministic=True)
        )
        return prefetch(mixed.rebatch(batch_size), 8)

    def _records(self, order: np.ndarray, skip: int) -> tf.data.Dataset:
        """Serialised blocks in the order of the shards, the first `skip` left out."""
        lengths = np.array([len(self._block_rows[s]) for s in order])
        ends = np.cumsum(lengths)
        skips = np.clip(skip - (ends - lengths), 0, None)
        kept = order[ends > skip]
        if not len(kept):
            return tf.data.Dataset.from_tensor_slices(tf.zeros([0], tf.string))
        paths = tf.constant([self._paths[s] for s in kept])

        def read(path: tf.Tensor, skipped: tf.Tensor) -> tf.data.Dataset:
            return tf.data.TFRecordDataset(path, buffer_size=_READ_BUFFER).skip(skipped)

        slices = (paths, skips[ends > skip].astype(np.int64))
        return tf.data.Dataset.from_tensor_slices(slices).flat_map(read)

    def _decode(self, records: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """ids int32 [n, C], labels float32 [n] and weights of the blocks string [k], one after another."""
        types = {"ids": tf.int32, "label": tf.uint8}
        types |= {"weight": tf.float32} if self._weighted else {}
        spec = {name: tf.io.FixedLenFeature([], tf.string) for name in types}
        parsed = tf.io.parse_example(records, spec)
        ids, labels, *weights = (
            tf.io.decode_raw(tf.strings.reduce_join(parsed[name]), dtype)
            for name, dtype in types.items()
        )
        return tf.reshape(ids, [-1, self._num_columns]), tf.cast(labels, tf.float32), *weights


def store_splits(folder: pathlib.Path, manifest: dict[str, Any]) -> dict[str, StoreSplit]:
    """The splits of a store, by name."""
    splits = {}
    for name, facts in manifest["splits"].items():
        paths = sorted(folder / f for f in manifest["files"] if f"-{name}.tfrecord" in f)
        if len(paths) != len(facts["block_rows"]):
            raise DataError(
                f"{folder / 'manifest.json'}: damaged, {len(paths)} shards of {name!r} instead of "
                f"{len(facts['block_rows'])}."
            )
        splits[name] = StoreSplit(
            paths,
            facts["block_rows"],
            len(FeatureSchema.from_config(manifest["schema"]).column_fields),
            facts["rows_md5"],
            clicks=facts.get("clicks"),
            weighted=bool(manifest.get("weighted")),
        )
    return splits
