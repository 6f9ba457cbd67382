"""Bits in stored bytes, with the one question a packed table asks of them: how many lie before?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# Bytes of which the set bits are counted for one answer, and bytes between two absolute counts. Wider
# ones save bytes and cost time; the block holds at most 255 bits before its last window, which is
# what a byte can count.
WINDOW = 8
BLOCK = 32

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_ONES = _BITS.sum(1).astype(np.int64)  # [256]: how many bits a byte has
_BEFORE = np.cumsum(_BITS, axis=1, dtype=np.int64) - _BITS  # [256, 8]: set bits below bit b
_HALVES = np.stack([np.arange(256) % 16, np.arange(256) // 16], axis=1) - 8  # [256, 2]
_UNSET = -(2**31)

# What a byte adds to a count, as an offset into `_COUNTS`: nothing, its bits, the number that it is,
# that number in units of 256 or of `OWN_UNIT`, or the bits below one of its own (`BELOW` + 256 b).
NOTHING, ALL, NUMBER, HIGH, OWN, BELOW = 0, 256, 512, 768, 1024, 1280
OWN_UNIT = 4096
_COUNTS = np.concatenate(
    [np.zeros(256), _ONES, *(unit * np.arange(256) for unit in (1, 256, OWN_UNIT))]
    + list((_BEFORE + np.where(_BITS, 0, _UNSET)).T)
).astype(np.int32)


def to_byte(size: int) -> np.ndarray:
    """[size, size]: how the bytes of a window count that lie before one of them."""
    return np.where(np.tri(size, k=-1, dtype=bool), ALL, NOTHING)


def to_bit(size: int) -> np.ndarray:
    """[8 size, size]: the same before one bit of a window, and of its own byte what lies below."""
    below = BELOW + 256 * np.arange(8)[:, None]
    return np.repeat(to_byte(size), 8, axis=0) + np.kron(np.eye(size, dtype=int), below)


def after(numbers: Sequence[int], how: np.ndarray) -> np.ndarray:
    """The same with a count in front of the window, in one byte or two."""
    return np.hstack([np.tile(numbers, (len(how), 1)), how])


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """uint8 [..., ceil(n / 8)] of booleans [..., n], lowest bit first."""
    return np.packbits(bits, axis=-1, bitorder="little")


def number_of_ones(octets: np.ndarray) -> np.ndarray:
    """int64, shape of `octets` uint8: how many bits of each byte are set."""
    return _ONES[octets]


def take(numbers: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """`numbers[places]`: by `gather_nd`, which copies short rows in half the time of `gather`."""
    return tf.gather_nd(numbers, tf.expand_dims(places, -1))


def quotient(places: tf.Tensor, size: int) -> tf.Tensor:
    """`places // size`: by a shift, which is many times as fast, where `size` is a power of two.

    The remainder is `places - size * quotient(places, size)`.
    """
    if size == 1:
        return places
    if places.dtype != tf.int32 or size & (size - 1):  # LiteRT shifts no int64
        return places // size
    return tf.bitwise.right_shift(places, size.bit_length() - 1)


def ones(octets: tf.Tensor, integers: tf.DType) -> tf.Tensor:
    """Number of set bits of each byte, shape of `octets`."""
    return take(_constant("ones", _ONES, integers), octets)


def steps(octets: tf.Tensor, integers: tf.DType) -> tf.Tensor:
    """[..., 8]: for each bit that is set, how many set bits of its byte lie below it.

    For a bit that is not set, less `2^31` (int64: `2^63`), so that `maximum(place + step, 0)` is 0:
    the place of nothing, see `Octets`.
    """
    return take(_constant("steps", _BEFORE + np.where(_BITS, 0, integers.min), integers), octets)


def count(stored: tf.Tensor, how: tf.Tensor, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """Of the shape of both: what each byte adds to a count, `how` being `ALL`, `NUMBER` and so on."""
    return take(_constant("counts", _COUNTS, dtype), tf.cast(stored, tf.int32) + how)


def halves(octets: tf.Tensor) -> tf.Tensor:
    """float32 [..., 2]: the low and the high half of each byte, each less 8."""
    return take(_constant("halves", _HALVES, tf.float32), tf.cast(octets, tf.int32))


def half(octets: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
    """float32, shape of both: of each byte the low half less 8 where `which` is 0, else the high one.

    Sums over all are faster than a gather for each, and LiteRT has no bitwise and.
    """
    shifted = tf.bitwise.right_shift(tf.cast(octets, tf.int32), 4 * tf.cast(which, tf.int32))
    low = shifted - 16 * tf.bitwise.right_shift(shifted, 4)
    return tf.cast(low, tf.float32) - 8


def _constant(name: str, values: np.ndarray, dtype: tf.DType) -> tf.Tensor:
    """A constant of which a graph has one copy, however many lookups it holds."""
    if tf.executing_eagerly():
        return tf.constant(values, dtype)
    graph = tf.compat.v1.get_default_graph()
    key = f"pep_tf/{name}/{dtype.name}"
    if not graph.get_collection_ref(key):
        with tf.control_dependencies(None):  # not those of the first lookup
            graph.add_to_collection(key, tf.constant(values, dtype))
    return graph.get_collection_ref(key)[0]


def counts_before(counts: np.ndarray, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts [n] of windows: before each window of its block [n], and before each block.

    A block has `windows` of them; what stands before a block is counted from 1.
    """
    blocks = counts.reshape(-1, windows)
    near = np.cumsum(blocks, axis=1) - blocks
    total = blocks.sum(1)
    return near.reshape(-1), 1 + np.cumsum(total) - total


class Octets:
    """Bytes and, for every window of them, the number of set bits before.

    The numbers are in two parts: from the start to the block, int32 or int64 (`far`), and from the
    start of the block to the window, a byte (`near`). Together they add a quarter to the bytes.

    What the set bits stand for is stored elsewhere in their order and counted from 1: place 0 of
    every array is a zero, and what is absent is looked up there. Reads look bits up in tables of
    256 rows rather than count them, so that the graph needs only operations that LiteRT has too.
    The arrays are values that were read, never variables: after a gather from a variable
    TensorFlow copies it whole each time that it is read.

    Args:
        arrays: hold `name_bytes`, `name_near` and `name_far`; see `encode`.
        name: of these bytes.
    """

    def __init__(self, arrays: Mapping[str, Any], name: str) -> None:
        self._bytes, self._near = arrays[f"{name}_bytes"], arrays[f"{name}_near"]
        self._far = arrays[f"{name}_far"]

    @staticmethod
    def encode(stored: np.ndarray, name: str, integers: Any = np.int32) -> dict[str, np.ndarray]:
        """Arrays of bytes uint8 [n], a zero byte put before the first: the place of nothing.

        Args:
            stored: the bytes.
            name: prefix of the arrays' names.
            integers: type of the positions, int32 or int64.
        """
        padded = np.zeros(-(-(len(stored) + 1) // BLOCK) * BLOCK, np.uint8)
        padded[1 : 1 + len(stored)] = stored
        of_windows = number_of_ones(padded).reshape(-1, WINDOW).sum(1)
        near, far = counts_before(of_windows, BLOCK // WINDOW)
        return {
            f"{name}_bytes": padded,
            f"{name}_near": near.astype(np.uint8),
            f"{name}_far": far.astype(integers),
        }

    def at(self, places: tf.Tensor) -> tf.Tensor:
        """int32, shape of `places`: the bytes there."""
        return tf.cast(take(self._bytes, places), tf.int32)

    def first(self, places: tf.Tensor) -> tf.Tensor:
        """Place of what the first set bit of byte `places` [n] stands for, were one set.

        That is 1 + the number of set bits in all bytes before it, of the positions' type.
        """
        at = tf.expand_dims(places, 1)
        window = quotient(at, WINDOW)
        stored = tf.gather_nd(tf.reshape(self._bytes, [-1, WINDOW]), window)
        how = tf.gather_nd(tf.constant(to_byte(WINDOW), tf.int32), at - WINDOW * window)
        within = tf.reduce_sum(count(stored, how), axis=1)
        within += tf.cast(tf.gather_nd(self._near, window), tf.int32)
        far = tf.gather_nd(self._far, quotient(at, BLOCK))
        return far + tf.cast(within, far.dtype)
