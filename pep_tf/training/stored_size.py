"""The bytes of a model's stored tables, and the largest cut that fits into a number of bytes."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np

from pep_tf.errors import NumberError
from pep_tf.layers.table_layer import TableLayer
from pep_tf.models import CTRModel
from pep_tf.numbers import Number
from pep_tf.tables import BLOCK_ENTRIES
from pep_tf.tables.packed import Entries, SteppedTable, StoredTable, pack
from pep_tf.tables.packed.pack import graph_bytes
from pep_tf.tables.packed.pair import pack_pair
from pep_tf.tables.packed.values import (
    ITEM_BYTES,
    LEARNED,
    StoredAs,
    check_stored_as,
    dtype_of,
    rounds,
)
from pep_tf.training.budgets import ByteBudget
from pep_tf.training.layer_state import walk
from pep_tf.training.swap import keyed

Masks = Mapping[str, np.ndarray]  # by table, uint8 [N, ceil(d / 8)]
_FILLED = 1.25  # numbers stored without a mask for each entry, at most, where masks are prefixes


@dataclasses.dataclass(frozen=True)
class StoredSize:
    """Bytes of the tables of a model as an export stores them: values, scales, and where they are.

    In a table that is not cut every entry counts, even one that is 0 and not stored: an export has at
    most these bytes.

    Attributes:
        shapes: `{table: (N, d)}` of all tables, in the order of the model.
        cut: the tables that the budget cuts.
        dtype: how numbers are stored, see `Values`; or that of each table.
        field_sizes: `{table: rows of each field}` of those that have fields.
        paired: whether the first table is stored together with first-order weights behind it.
    """

    shapes: Mapping[str, tuple[int, int]]
    cut: Sequence[str]
    dtype: StoredAs = "float32"
    field_sizes: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    paired: bool = False

    def __post_init__(self) -> None:
        """Raises RunError for an unknown dtype or an unknown table."""
        check_stored_as(self.dtype, self.shapes)

    @classmethod
    def of_model(cls, model: keras.Model, cut: Sequence[str], dtype: StoredAs) -> Self:
        """For a built model, whose tables are named as by `keyed`."""
        layers = keyed({path: x for path, x in walk(model) if isinstance(x, TableLayer)})
        paired = isinstance(model, CTRModel)
        if paired:
            order = [id(model.embedding), id(model.first_order)]
            layers = dict(sorted(layers.items(), key=lambda item: order.index(id(item[1]))))
        shapes = {key: (x.input_dim, x.output_dim) for key, x in layers.items()}
        sizes = {key: x.field_sizes for key, x in layers.items() if x.field_sizes is not None}
        if paired:
            sizes = dict.fromkeys(shapes, model.field_ids.sizes)
        return cls(shapes, tuple(cut), dtype, sizes, paired)

    @property
    def base(self) -> int:
        """Bytes of all tables before pruning, each number a float32."""
        return sum(4 * rows * dim for rows, dim in self.shapes.values())

    @property
    def rounds(self) -> bool:
        """Whether numbers are rounded in training."""
        return rounds(self.dtype)

    @property
    def entries(self) -> int:
        """Entries of the tables that are cut."""
        return sum(math.prod(self.shapes[key]) for key in self.cut)

    @property
    def smallest(self) -> int:
        """Bytes if a single entry is left in the tables that are cut."""
        masks = {key: _no_mask(*self.shapes[key]) for key in self.cut}
        masks[self.cut[0]][0, 0] = 128
        return self.bytes_of(masks)

    def bytes_of(self, masks: Masks) -> int:
        """Bytes of the tables under masks, to the byte."""
        return sum(form.nbytes for form in self._forms(masks).values())

    def _forms(self, masks: Masks) -> dict[str, StoredTable]:
        """Each table under masks as it would be stored, with all numbers 1."""
        found = {key: Entries.of(_ones(x, masks.get(key))) for key, x in self.shapes.items()}
        if not self.paired or self.rounds:
            return {key: self._form(key, own) for key, own in found.items()}
        (main, table), *first_order = found.items()
        key, weights = first_order[0] if first_order else (main, None)
        dtypes = self._dtype(main), self._dtype(key)
        form, beside = pack_pair(table, weights, dtypes, self.field_sizes[main])
        return {main: form} if beside is None else {main: form, key: beside}

    def _form(self, key: str, entries: Entries) -> StoredTable:
        """A table stored by itself."""
        dtype, sizes = self._dtype(key), self.field_sizes.get(key)
        if dtype in LEARNED:
            steps = np.ones((len(sizes or [0]), entries.dim), np.float32)
            return SteppedTable.of(entries, steps, dtype, sizes)
        alike = [dim for _, dim in self.shapes.values()].count(entries.dim)
        room = 0 if self.paired else graph_bytes(alike)
        return pack(entries, dtype=dtype, field_sizes=sizes, room=room)

    def _dtype(self, key: str) -> str:
        return dtype_of(self.dtype, key)

    def without(self, left_out: Collection[str]) -> int:
        """Bytes of the other tables, unpruned, each stored by itself."""
        return sum(
            pack(
                _ones(x, None), dtype=self._dtype(key), field_sizes=self.field_sizes.get(key)
            ).nbytes
            for key, x in self.shapes.items()
            if key not in left_out
        )

    def budget(self, size: Number, given: Any) -> ByteBudget:
        """A budget of so many bytes, or of a share of `base`.

        Raises:
            NumberError: more bytes than the tables have, or fewer than they can have.
        """
        share = size.form == "percent"
        count = int(size.value * self.base if share else size.value)
        if count > self.base:
            raise NumberError(
                f"A budget must be at most {self.base:,} bytes, the tables in float32. Received: {given}"
            )
        smallest = self.smallest
        if count < smallest:
            whole = {n: math.prod(shape) for n, shape in self.shapes.items() if n not in self.cut}
            unpruned = "".join(
                f", of them all {n:,} numbers of {key!r}" for key, n in whole.items()
            )
            smaller = ["prune_linear"] if whole and self.paired else []
            least = all(ITEM_BYTES[self._dtype(key)] < 1 for key in self.shapes)
            smaller += [] if least else ["a smaller dtype"]
            raise NumberError(
                f"A budget must be at least {smallest:,} bytes, which one entry takes in {self._dtype(self.cut[0])} "
                f"with what else is stored{unpruned}. Received: {given}, {count:,} bytes"
                + (f". Smaller by {' or by '.join(smaller)}." if smaller else "")
            )
        return ByteBudget(count, self._expected(count - smallest))

    def _expected(self, left: int) -> int:
        """About how many entries fit into bytes: a number each, and the entropy of a random mask."""
        most, item = self.entries, self._item_bytes

        def fits(count: int) -> bool:
            choices = math.lgamma(most + 1) - math.lgamma(count + 1) - math.lgamma(most - count + 1)
            return item * (count - 1) + choices / math.log(2) / 8 <= left

        return _largest(fits, most)

    @property
    def _item_bytes(self) -> float:
        return min(ITEM_BYTES[self._dtype(key)] for key in self.cut)

    def cut_within(
        self, cut: Callable[[int], dict[str, np.ndarray]], budget: ByteBudget
    ) -> dict[str, np.ndarray]:
        """The largest of masks with growing numbers of entries that fit into a budget.

        Args:
            cut: a count to the masks that keep so many.
            budget: the bytes.
        """
        most = min(self.entries, int(budget.bytes / self._item_bytes))
        count = _largest(lambda n: self._filled(cut(n))[1] <= budget.bytes, most)
        return self._filled(cut(count))[0]

    def _filled(self, masks: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
        """The masks with all entries that are stored anyway, as rows have few widths; and the bytes.

        Masks that are no prefixes stay as they are, though without a mask their rows may take fewer bytes.
        """
        forms, filled = self._forms(masks), dict(masks)
        for key, form in forms.items():
            widths = form.stored_widths() if key in masks else None
            if widths is not None and widths.sum() <= _FILLED * form.nnz:
                filled[key] = np.packbits(np.arange(form.dim) < widths[:, None], axis=1)
        if all(filled[key] is masks[key] for key in masks):
            return masks, sum(form.nbytes for form in forms.values())
        return filled, self.bytes_of(filled)


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` that fits; 1 is assumed to fit."""
    low, high = 1, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _no_mask(rows: int, dim: int) -> np.ndarray:
    return np.zeros((rows, -(-dim // 8)), np.uint8)


def _ones(shape: tuple[int, int], bits: np.ndarray | None) -> Iterator[np.ndarray]:
    """Row blocks float32: 1 where a mask keeps an entry, else 0; all 1 without a mask."""
    rows, dim = shape
    size = max(1, BLOCK_ENTRIES // dim)
    for start in range(0, rows, size):
        count = min(size, rows - start)
        if bits is None:
            yield np.ones((count, dim), np.float32)
        else:
            own = np.unpackbits(bits[start : start + count], axis=1, count=dim)
            yield own.astype(np.float32)
