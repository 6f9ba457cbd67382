"""Bits and bytes of many places in groups, each with the number of set bits before it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pep_tf.tables.packed.octets import (
    HIGH,
    NUMBER,
    OWN,
    OWN_UNIT,
    after,
    count,
    counts_before,
    number_of_ones,
    pack_bits,
    quotient,
    to_bit,
    to_byte,
)

_BLOCK = 256  # places between two absolute counts: at most 255 bits of a kind before its last group


class Flags:
    """Some bits and up to one byte for each of many places, all found by one read.

    A bit says whether the place has something of a kind; what it has is stored elsewhere in the
    order of the places and counted from 1, as for `Octets`. The byte is the top of the place's mask,
    whose set bits stand for something stored elsewhere too.

    Args:
        arrays: hold `name_groups` and `name_far`; see `encode`.
        name: of these flags.
        has_octets: whether a byte was stored.
        group: places that are read for one answer, as they were stored.
    """

    def __init__(
        self, arrays: Mapping[str, Any], name: str, *, has_octets: bool = False, group: int = 8
    ) -> None:
        self._groups, self._far = arrays[f"{name}_groups"], arrays[f"{name}_far"]
        self._has_octets, self._group = has_octets, group
        # For each place of a group, what each byte of its record adds to the counts of its kind.
        hows = [after([NUMBER], to_bit(group // 8))] * (self._far.shape[1] - has_octets)
        if has_octets:
            own = np.where(np.eye(group, dtype=bool), OWN, to_byte(group))
            hows.append(after([NUMBER, HIGH], own))
        self._sizes = [how.shape[1] for how in hows]
        self._how = np.concatenate(hows, axis=1)
        # Of each byte of a record.
        self._kinds = np.repeat(np.eye(len(self._sizes)), self._sizes, axis=0)

    @property
    def nbytes(self) -> list[int]:
        """Bytes of each kind."""
        column = int(self._far.shape[0]) * tf.as_dtype(self._far.dtype).size
        return [int(self._groups.shape[0]) * size + column for size in self._sizes]

    @staticmethod
    def encode(
        flags: Sequence[np.ndarray],
        octets: np.ndarray | None,
        name: str,
        integers: Any = np.int32,
        *,
        zeros: int = 1,
        group: int = 8,
    ) -> dict[str, np.ndarray]:
        """Arrays of these flags.

        Args:
            flags: bool [K] for each kind.
            octets: uint8 [K], or None.
            name: prefix of the arrays' names.
            integers: type of the positions, int32 or int64.
            zeros: number of places put before the first, which have nothing.
            group: places that are read for one answer, a multiple of 8; 8 itself with `octets`. A
                larger one saves bytes and costs time: a group has a byte of its own for each kind.
        """
        records: list[np.ndarray] = []
        far: list[np.ndarray] = []
        for bits in flags:
            column = pack_bits(_padded(bits, zeros, group))
            near, before = counts_before(number_of_ones(column).sum(1), _BLOCK // group)
            records += [near.astype(np.uint8)[:, None], column]
            far.append(before)
        if octets is not None:
            column = _padded(octets, zeros, group)
            near, before = counts_before(number_of_ones(column).sum(1), _BLOCK // group)
            records += [near.astype("<u2")[:, None].view(np.uint8), column]
            far.append(before)
        return {
            f"{name}_groups": np.concatenate(records, axis=1),
            f"{name}_far": np.stack(far, axis=1).astype(integers),
        }

    def find(self, places: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """What is known of the places int32 [n].

        Returns:
            Of each kind, the place of what is there, not positive if nothing, int32 [n]; the place
            of what the first set bit of the byte stands for, were one set, of the positions' type
            [n]; the byte, int32 [n]. Without bytes the latter two say nothing.
        """
        at = tf.expand_dims(places, 1)
        group = quotient(at, self._group)
        stored = tf.gather_nd(self._groups, group)
        how = tf.gather_nd(tf.constant(self._how, tf.int32), at - self._group * group)
        within = self._by_kind(stored, how)
        far = tf.gather_nd(self._far, quotient(at, _BLOCK))
        found = far + tf.cast(within, far.dtype)
        columns = [found[:, i] for i in range(self._kinds.shape[1])]
        octet = quotient(within[:, -1], OWN_UNIT)
        start = columns[-1] - tf.cast(octet * OWN_UNIT, far.dtype)
        flags = columns[:-1] if self._has_octets else columns
        return [tf.cast(place, tf.int32) for place in flags], start, octet

    def _by_kind(self, stored: tf.Tensor, how: tf.Tensor) -> tf.Tensor:
        """int32 [n, kinds]: the bytes' counts summed.

        The product is many times faster than sums of slices, and exact: a byte has at most 8 bits
        set, and sums stay below 2^24. Where a bit is not set the result is a large
        negative number, of which only the sign is used.
        """
        if self._kinds.shape[1] == 1:
            return tf.reduce_sum(count(stored, how), axis=1, keepdims=True)
        counts = count(stored, how, tf.float32)
        return tf.cast(tf.matmul(counts, tf.constant(self._kinds, tf.float32)), tf.int32)


def _padded(of_places: np.ndarray, zeros: int, group: int) -> np.ndarray:
    """[groups, places of a group] of an array [K], with nothing before the first and behind the last."""
    blocks = -(-(len(of_places) + zeros) // _BLOCK)
    padded = np.zeros((blocks * _BLOCK // group, group), of_places.dtype)
    padded.reshape(-1)[zeros : zeros + len(of_places)] = of_places
    return padded
