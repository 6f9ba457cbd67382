"""Bits in stored bytes, with the one question a packed table asks of them: how many lie before?"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Bytes read for one answer, and bytes between two absolute counts. Wider ones save bytes and cost
# time; the block holds at most 255 bits before its last window, which is what a byte can count.
WINDOW = 8
BLOCK = 32

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_ONES = _BITS.sum(1).astype(np.int64)  # [256]: how many bits a byte has
_BEFORE = np.cumsum(_BITS, axis=1, dtype=np.int64) - _BITS  # [256, 8]: set bits below bit b
_UNSET = -(2**31)

# What a byte adds to a count, as an offset into `_COUNTS`: nothing, its bits, the number that it is,
# that number in units of 256 or of `OWN_UNIT`, or the bits below one of its own (`BELOW` + 256 b).
NOTHING, ALL, NUMBER, HIGH, OWN, BELOW = 0, 256, 512, 768, 1024, 1280
OWN_UNIT = 4096
_COUNTS = np.concatenate(
    [np.zeros(256), _ONES, *(unit * np.arange(256) for unit in (1, 256, OWN_UNIT))]
    + list((_BEFORE + np.where(_BITS, 0, _UNSET)).T)
).astype(np.int32)


def _to_byte(size: int) -> np.ndarray:
    """[size, size]: how the bytes of a window count that lie before one of them."""
    return np.where(np.tri(size, k=-1, dtype=bool), ALL, NOTHING)


def _to_bit(size: int) -> np.ndarray:
    """[8 size, size]: the same before one bit of a window, and of its own byte what lies below."""
    below = BELOW + 256 * np.arange(8)[:, None]
    return np.repeat(_to_byte(size), 8, axis=0) + np.kron(np.eye(size, dtype=int), below)


def _after(numbers: Sequence[int], how: np.ndarray) -> np.ndarray:
    """The same with a count in front of the window, in one byte or two."""
    return np.hstack([np.tile(numbers, (len(how), 1)), how])


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """uint8 [..., ceil(n / 8)] of booleans [..., n], lowest bit first."""
    return np.packbits(bits, axis=-1, bitorder="little")


def number_of_ones(octets: np.ndarray) -> np.ndarray:
    """int64, shape of `octets` uint8: how many bits of each byte are set."""
    return _ONES[octets]


def look(numbers: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """`numbers[places]`: by `gather_nd`, which copies short rows in half the time of `gather`."""
    return tf.gather_nd(numbers, tf.expand_dims(places, -1))


def ones(octets: tf.Tensor, integers: tf.DType) -> tf.Tensor:
    """Number of set bits of each byte, shape of `octets`."""
    return look(tf.constant(_ONES, integers), octets)


def steps(octets: tf.Tensor, integers: tf.DType) -> tf.Tensor:
    """[..., 8]: for each bit that is set, how many set bits of its byte lie below it.

    For a bit that is not set, less `2^31` (int64: `2^63`), so that `maximum(place + step, 0)` is 0:
    the place of nothing, see `Octets`.
    """
    return look(tf.constant(_BEFORE + np.where(_BITS, 0, integers.min), integers), octets)


def count(stored: tf.Tensor, how: tf.Tensor) -> tf.Tensor:
    """int32, shape of both: what each byte adds to a count, `how` being `ALL`, `NUMBER` and so on."""
    return look(tf.constant(_COUNTS), tf.cast(stored, tf.int32) + how)


def counts_before(counts: np.ndarray, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts [n] of windows: before each window of its block [n], and before each block.

    A block has `windows` of them; what stands before a block is counted from 1.
    """
    blocks = counts.reshape(-1, windows)
    near = np.cumsum(blocks, axis=1) - blocks
    total = blocks.sum(1)
    return near.reshape(-1), 1 + np.cumsum(total) - total


class Octets(tf.Module):
    """Bytes in a variable and, for every window of them, the number of set bits before.

    The numbers are in two parts: from the start to the block, int32 or int64 (`far`), and from the
    start of the block to the window, a byte that stands in front of the window's own. Together they
    add a quarter to the bytes.

    What the set bits stand for is stored elsewhere in their order and counted from 1: place 0 of
    every array is a zero, and what is absent is looked up there. Reads look bits up in tables of
    256 rows rather than count them, so that the graph needs only operations that LiteRT has too.
    The bytes are looked up in the value that was read, never in the variable: after a gather
    from the variable TensorFlow copies it whole each time that it is read.

    Args:
        stored: uint8 [n].
        name: prefix of the variables' names.
        integers: type of the positions, int32 or int64.
        zeros: number of zero bytes put before the first, the place of nothing.
    """

    def __init__(
        self, stored: np.ndarray, name: str, integers: tf.DType = tf.int32, zeros: int = 1
    ) -> None:
        super().__init__(name=name)
        blocks = -(-(len(stored) + zeros) // BLOCK)
        padded = np.zeros((blocks * BLOCK // WINDOW, WINDOW), np.uint8)
        padded.reshape(-1)[zeros : zeros + len(stored)] = stored
        near, far = counts_before(_ONES[padded].sum(1), BLOCK // WINDOW)
        windows = np.concatenate([near.astype(np.uint8)[:, None], padded], axis=1)
        self._integers = integers
        self.windows = tf.Variable(windows, trainable=False, name=f"{name}_windows")
        self.far = tf.Variable(
            far.astype(integers.as_numpy_dtype), trainable=False, name=f"{name}_far"
        )
        self.nbytes = windows.nbytes + far.size * integers.size

    def at(self, places: tf.Tensor) -> tf.Tensor:
        """int32, shape of `places`: the bytes there."""
        stored = tf.reshape(self.windows.read_value(), [-1])
        # One more byte for each window up to here; a division would take ten times as long.
        window = tf.bitwise.right_shift(places, tf.constant(WINDOW.bit_length() - 1, places.dtype))
        return tf.cast(look(stored, places + window + 1), tf.int32)

    def first(self, places: tf.Tensor) -> tf.Tensor:
        """Place of what the first set bit of byte `places` [n] stands for, were one set.

        That is 1 + the number of set bits in all bytes before it, of the type `integers`.
        """
        return self._count(places, WINDOW, _after([NUMBER], _to_byte(WINDOW)))

    def place(self, bits: tf.Tensor) -> tf.Tensor:
        """Place of what each bit [n] stands for, 0 if it is not set; bit 8 i + b is bit b of byte i."""
        how = _after([NUMBER], _to_bit(WINDOW))
        return tf.maximum(self._count(bits, 8 * WINDOW, how), 0)

    def _count(self, places: tf.Tensor, window: int, how: np.ndarray) -> tf.Tensor:
        at = tf.expand_dims(places, 1)
        counted = tf.gather_nd(tf.constant(how, tf.int32), at % window)
        found = count(tf.gather_nd(self.windows.read_value(), at // window), counted)
        within = tf.cast(tf.reduce_sum(found, axis=1), self._integers)
        block = at // (BLOCK // WINDOW * window)
        return tf.gather_nd(self.far.read_value(), block) + within


# Places whose bytes are read for one answer, and such groups of a block: at most 255 bits of a kind
# before its last group.
_GROUP, _GROUPS = 8, 32


class Flags(tf.Module):
    """For each of many places some bits and up to one byte, all of which one read answers for.

    A bit says whether the place has something of a kind; what it has is stored elsewhere in the
    order of the places and counted from 1, as for `Octets`. The byte is the top of the place's mask,
    whose set bits stand for something stored elsewhere too.

    Args:
        flags: bool [K] for each kind; place i of K is number i + 1, and number 0 has nothing.
        octets: uint8 [K], or None.
        name: prefix of the variables' names.
        integers: type of the positions, int32 or int64.
    """

    def __init__(
        self,
        flags: Sequence[np.ndarray],
        octets: np.ndarray | None,
        name: str,
        integers: tf.DType = tf.int32,
    ) -> None:
        super().__init__(name=name)
        self._integers, self._has_octets = integers, octets is not None
        records: list[np.ndarray] = []
        far: list[np.ndarray] = []
        self._how: list[np.ndarray] = []
        for bits in flags:
            column = pack_bits(_padded(bits)).reshape(-1, _GROUP // 8)
            near, before = counts_before(number_of_ones(column).sum(1), _GROUPS)
            records += [near.astype(np.uint8)[:, None], column]
            self._how.append(_after([NUMBER], _to_bit(_GROUP // 8)))
            far.append(before)
        if octets is not None:
            column = _padded(octets)
            near, before = counts_before(number_of_ones(column).sum(1), _GROUPS)
            records += [near.astype("<u2")[:, None].view(np.uint8), column]
            own = np.where(np.eye(_GROUP, dtype=bool), OWN, _to_byte(_GROUP))
            self._how.append(_after([NUMBER, HIGH], own))
            far.append(before)
        self._sizes = [how.shape[1] for how in self._how]
        stored = np.stack(far, axis=1).astype(integers.as_numpy_dtype)
        groups = np.concatenate(records, axis=1)
        self.groups = tf.Variable(groups, trainable=False, name=f"{name}_groups")
        self.far = tf.Variable(stored, trainable=False, name=f"{name}_far")
        self.nbytes = [len(groups) * size + stored[:, 0].nbytes for size in self._sizes]

    def find(self, places: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """What is known of the places int32 [n].

        Returns:
            Of each kind, the place of what is there, 0 if nothing, int32 [n]; the place of what the
            first set bit of the byte stands for, were one set, of type `integers` [n]; the byte,
            int32 [n]. Without bytes the latter two are those of the last kind.
        """
        at = tf.expand_dims(places, 1)
        how = tf.constant(np.concatenate(self._how, axis=1), tf.int32)
        stored = tf.gather_nd(self.groups.read_value(), at // _GROUP)
        counts = count(stored, tf.gather_nd(how, at % _GROUP))
        far = tf.gather_nd(self.far.read_value(), at // (_GROUP * _GROUPS))
        # LiteRT unstacks no empty batch.
        kinds = [
            (tf.reduce_sum(within, axis=1), far[:, i])
            for i, within in enumerate(tf.split(counts, self._sizes, axis=1))
        ]
        flags = kinds[:-1] if self._has_octets else kinds
        found = [tf.maximum(n + tf.cast(within, self._integers), 0) for within, n in flags]
        within, before = kinds[-1]
        start = before + tf.cast(within % OWN_UNIT, self._integers)
        return [tf.cast(n, tf.int32) for n in found], start, within // OWN_UNIT


def _padded(of_places: np.ndarray) -> np.ndarray:
    """[groups, places of a group] of an array [K], with nothing before the first and behind the last."""
    groups = -(-(len(of_places) + 1) // (_GROUP * _GROUPS)) * _GROUPS
    padded = np.zeros((groups, _GROUP), of_places.dtype)
    padded.reshape(-1)[1 : 1 + len(of_places)] = of_places
    return padded
