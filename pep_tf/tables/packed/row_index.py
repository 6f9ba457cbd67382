"""Which rows of a table have anything in them, and how many of those lie before a row."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.flags import Flags
from pep_tf.tables.packed.octets import pack_bits, quotient

_MOST_LEVELS = 6
_GROUP = 32  # bits that are read for one answer, see `Flags`


class RowIndex:
    """A bitmap over rows whose empty bytes are left out, again and again while that saves bytes.

    The lowest level has one bit per row. The level above has a bit for each byte of it, and only bytes
    that are not zero are stored; and so on up to a level that is stored whole. Dense tables get one
    level, sparse ones up to three or four; where no row is empty, none.

    Args:
        arrays: hold `rows_0_groups`, `rows_0_far`, `rows_1_groups` and so on; see `encode`.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        names = itertools.takewhile(
            lambda name: f"{name}_groups" in arrays, map("rows_{}".format, itertools.count())
        )
        self.levels = [Flags(arrays, name, group=_GROUP) for name in names]

    @staticmethod
    def encode(occupied: np.ndarray, worth: int = 0) -> dict[str, np.ndarray]:
        """Arrays of the index.

        Args:
            occupied: bool [N], whether the row has an entry.
            worth: bytes that a further level has to save, since each makes a lookup longer.
        """
        arrays: dict[str, np.ndarray] = {}
        for i, level in enumerate([] if occupied.all() else _levels(occupied, worth)):
            bits = np.unpackbits(level, bitorder="little").view(bool)
            zeros = 8 * min(i, 1)
            arrays |= Flags.encode([bits], None, f"rows_{i}", zeros=zeros, group=_GROUP)
        return arrays

    @property
    def nbytes(self) -> int:
        return sum(sum(level.nbytes) for level in self.levels)

    def find(self, rows: tf.Tensor) -> tf.Tensor:
        """int32 [n]: 1 + the rank of each row among the occupied ones, or 0 where it is empty."""
        if not self.levels:
            return rows + 1
        height = len(self.levels) - 1
        above = quotient(rows, 8**height)
        places = _place(self.levels[0], above)
        for level in self.levels[1:]:
            height -= 1
            own = quotient(rows, 8**height)
            places = _place(level, 8 * places + own - 8 * above)
            above = own
        return places


def _place(level: Flags, bits: tf.Tensor) -> tf.Tensor:
    (places,), *_ = level.find(bits)
    return tf.maximum(places, 0)


def _levels(occupied: np.ndarray, worth: int) -> list[np.ndarray]:
    """Stored bytes of each level from the top, for the number of levels that is worth it."""
    levels = best = [pack_bits(occupied)]
    for _ in range(_MOST_LEVELS - 1):
        whole = levels[0]
        levels = [pack_bits(whole != 0), whole[whole != 0], *levels[1:]]
        saved = sum(map(len, best)) - sum(map(len, levels))
        if saved > worth * (len(levels) - len(best)):
            best = levels
    return best
