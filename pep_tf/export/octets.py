"""Bits in stored bytes, with the one question a packed table asks of them: how many lie before?"""

import numpy as np
import tensorflow as tf

# Bytes read for one answer, and bytes between two absolute counts. Wider ones save bytes and cost
# time; the block holds at most 255 bits before its last window, which is what a byte can count.
WINDOW = 6
BLOCK = 36

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_ONES = _BITS.sum(1).astype(np.int64)  # [256]: how many bits a byte has
_BEFORE = np.cumsum(_BITS, axis=1, dtype=np.int64) - _BITS  # [256, 8]: set bits below bit b


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """uint8 [..., ceil(n / 8)] of booleans [..., n], lowest bit first."""
    return np.packbits(bits, axis=-1, bitorder="little")


def ones(octets: tf.Tensor, integers: tf.DType) -> tf.Tensor:
    """Number of set bits of each byte, shape of `octets`."""
    return tf.gather(tf.constant(_ONES, integers), octets)


def steps(octets: tf.Tensor, integers: tf.DType) -> tf.Tensor:
    """[..., 8]: for each bit that is set, how many set bits of its byte lie below it.

    For a bit that is not set, a number so low that `maximum(place + step, 0)` is 0: the place of
    nothing, see `Octets`.
    """
    return tf.gather(_step_table(integers), octets)


def step(octets: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """`steps` of one bit a byte, int32 [n] of bytes int32 [n] and bits int32 [n] from 0 to 7."""
    return tf.gather(tf.reshape(_step_table(tf.int32), [-1]), octets * 8 + bits)


def _step_table(integers: tf.DType) -> tf.Tensor:
    return tf.constant(np.where(_BITS, _BEFORE, integers.min), integers)


class Octets(tf.Module):
    """Bytes in a variable and, for every window of them, the number of set bits before.

    The numbers are in two parts: from the start to the block, int32 or int64 (`far`), and from the
    start of the block to the window, a byte (`near`). Together they add 5/18 to the bytes.

    What the set bits stand for is stored elsewhere in their order and counted from 1: place 0 of
    every array is a zero, and what is absent is looked up there. Reads look bits up in tables of
    256 rows rather than count them, so that the graph needs only operations that LiteRT has too.
    The bytes are gathered from the value that was read, never from the variable: after a gather
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
        padded = np.zeros((blocks, BLOCK // WINDOW, WINDOW), np.uint8)
        padded.reshape(-1)[zeros : zeros + len(stored)] = stored
        counts = _ONES[padded].sum(2)
        totals = counts.sum(1)
        near = (np.cumsum(counts, axis=1) - counts).astype(np.uint8).reshape(-1)
        far = (1 + np.cumsum(totals) - totals).astype(integers.as_numpy_dtype)
        self.bytes = tf.Variable(padded.reshape(-1), trainable=False, name=f"{name}_bytes")
        self.near = tf.Variable(near, trainable=False, name=f"{name}_near")
        self.far = tf.Variable(far, trainable=False, name=f"{name}_far")
        self.nbytes = padded.nbytes + near.nbytes + far.nbytes

    def at(self, places: tf.Tensor) -> tf.Tensor:
        """int32, shape of `places`: the bytes there."""
        return tf.cast(tf.gather(self.bytes.read_value(), places), tf.int32)

    def first(self, places: tf.Tensor) -> tf.Tensor:
        """Place of what the first set bit of byte `places` [n] stands for, were one set.

        That is 1 + the number of set bits in all bytes before it; of the same type.
        """
        window = places // WINDOW
        windows = tf.reshape(self.bytes.read_value(), [-1, WINDOW])
        stored = tf.cast(tf.gather(windows, window), tf.int32)
        # Row i of this triangle keeps i bytes; the others become 0, a byte without a bit.
        earlier = tf.constant(np.tri(WINDOW, k=-1, dtype=np.int32))
        stored *= tf.gather(earlier, places % WINDOW)
        within = tf.reduce_sum(ones(stored, places.dtype), axis=1)
        near = tf.cast(tf.gather(self.near, window), places.dtype)
        return tf.gather(self.far, places // BLOCK) + (near + within)
