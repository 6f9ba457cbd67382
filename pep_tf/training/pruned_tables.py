"""Which tables of a model are pruned, and what they hold at one moment."""

import math
import tempfile
from collections.abc import Mapping

import keras
import numpy as np

from pep_tf.errors import ModelError, RunError
from pep_tf.files import reserve
from pep_tf.layers import PEPEmbedding
from pep_tf.layers.table_layer import TableLayer
from pep_tf.tables.sharded_table import ShardedTable, interleaved
from pep_tf.training.budgets import ByteBudget
from pep_tf.training.cut import Part, cut_masks
from pep_tf.training.layer_state import walk
from pep_tf.training.stored_size import StoredSize
from pep_tf.training.swap import keyed

# Entries of all tables together, or of each table by key; or bytes of all.
Budget = int | dict[str, int] | ByteBudget

# What a ticket's layer does by its arguments alone.
_ALIKE = ("call", "compute_mask", "compute_output_shape", "build", "effective", "look_up")


def pruned_tables(model: keras.Model) -> dict[str, PEPEmbedding]:
    """`{key: layer}` of the tables with thresholds that are trained, in the order of the model.

    A key is the layer's name, or where two tables have the same one the path to it.

    Raises:
        ModelError: a model that has none, or one with more to it than a ticket would keep.
    """
    layers = {path: layer for path, layer in walk(model) if isinstance(layer, PEPEmbedding)}
    with_thresholds = {n: x for n, x in keyed(layers).items() if x.pruning == "threshold"}
    tables = {name: layer for name, layer in with_thresholds.items() if layer.trainable}
    if not tables:
        if with_thresholds:
            received = f"tables that are not trainable: {sorted(with_thresholds)}"
        else:
            received = (
                f"{[x for _, x in walk(model) if hasattr(x, 'output_dim')] or 'no embedding'}"
            )
        raise ModelError(
            "`model` must have a PEPEmbedding with pruning='threshold' that is trainable; "
            "pep_tf.prunable(model) puts one in place of each keras.layers.Embedding. "
            f"Received: {type(model).__name__} with {received}"
        )
    for name, layer in tables.items():
        refuse_more(name, layer)
    return tables


def refuse_more(name: str, layer: TableLayer) -> None:
    """Raises ModelError for a subclass that does more than its arguments say."""
    for kind in type(layer).__mro__:
        if kind.__module__.startswith("pep_tf.layers."):
            return
        for method in _ALIKE:
            if method in vars(kind):
                raise ModelError(
                    f"The table {name!r} is a {type(layer).__name__} with a `{method}` of its own, "
                    "which what takes its place would not keep. Put it in a layer that holds the table."
                )


def entries_of(tables: Mapping[str, PEPEmbedding]) -> dict[str, int]:
    """N x d of each table."""
    return {name: layer.input_dim * layer.output_dim for name, layer in tables.items()}


class EntryScores:
    """Score and value of all entries at one moment.

    A walk over a table that is updated lazily makes up for the skipped steps of every row; a cut
    takes several walks, so they go over two temporary files instead, with bounded memory.

    Args:
        tables: see `pruned_tables`.
        scores: by table, float32 [N, d], of a method that does not go by |V| - g(s).

    Attributes:
        scores: by table, float32 [N, d], `|V| - g(s)` or as given; of a sharded table of this worker's
            rows, as `entries`.
        entries: by table, float32 [N, d], E.
    """

    def __init__(
        self, tables: Mapping[str, PEPEmbedding], scores: Mapping[str, np.ndarray] | None = None
    ) -> None:
        own = {name: layer.table.row_table for name, layer in tables.items()}
        self._sharded = {name: x for name, x in own.items() if isinstance(x, ShardedTable)}
        shapes = {name: (own[name].num_rows, x.output_dim) for name, x in tables.items()}
        self.scores, self.entries = _temporary(shapes), _temporary(shapes)
        for name, layer in tables.items():
            for start, entries, score in layer.blocks():
                rows = slice(start, start + len(score))
                self.entries[name][rows] = entries
                self.scores[name][rows] = score if scores is None else scores[name][rows]
        if self._sharded and scores is not None:
            raise RunError("Methods that score entries by themselves are not for sharded tables.")

    def masks(self, budget: Budget, storage: StoredSize | None = None) -> dict[str, np.ndarray]:
        """By table, uint8 [N, ceil(d / 8)]: the entries of the highest score; see `cut_masks`.

        Of bytes, which `storage` counts, as many as fit.
        """
        if isinstance(budget, ByteBudget):
            assert storage is not None, "a budget in bytes was resolved by what counts them"
            return storage.cut_within(lambda count: self._cut(self.scores, count), budget)
        if isinstance(budget, int):
            return self._cut(self.scores, budget)
        masks: dict[str, np.ndarray] = {}
        for name, score in self.scores.items():
            masks |= self._cut({name: score}, budget[name])
        return masks

    def _cut(self, scores: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """Masks of whole tables, on all workers."""
        sharded = self._sharded.keys() & scores.keys()
        if not sharded:
            return cut_masks(scores, count)
        group = next(iter(self._sharded.values())).group
        part = Part(group.total, sharded, group.rank, group.size)
        masks = cut_masks(scores, count, among=part)
        return {
            name: interleaved(group.gather_arrays(mask)) if name in sharded else mask
            for name, mask in masks.items()
        }


def _temporary(shapes: Mapping[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    """Arrays of zeros in a file that goes when they do."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    with tempfile.TemporaryFile() as file:
        try:
            # A full disk is an error now; writing to the array it would end the process.
            reserve(file, 4 * sum(sizes))
        except OSError as error:
            raise RunError(
                f"Cannot write {4 * sum(sizes):,} bytes to {tempfile.gettempdir()} for the cut of a "
                f"ticket: {error.strerror}. Make room, or set TMPDIR to another folder."
            ) from error
        values = np.memmap(file, np.float32, "r+", shape=(sum(sizes),))
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return {
        name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
