"""The hash of features, rows and splits: one definition, of NumPy's arrays and of TensorFlow's tensors."""

from typing import Any

import numpy as np
import tensorflow as tf

WORD = 8  # bytes of the numbers that are hashed
_GOLDEN = 0x9E3779B97F4A7C15
_HASH_1, _HASH_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)


def mix(x: Any) -> Any:
    """`fmix64` of MurmurHash3 (Austin Appleby, public domain): a bijection of uint64 that mixes every bit."""
    x = x ^ _shifted(x, 33)
    # In place from here on, which halves the time in NumPy; a tensor is simply bound anew.
    x *= _HASH_1
    x ^= _shifted(x, 33)
    x *= _HASH_2
    x ^= _shifted(x, 33)
    return x


def salts(seed: int, count: int) -> np.ndarray:
    """uint64 [count], the salt of each field: mix(golden ratio * seed + field + 1)."""
    first = np.uint64((seed * _GOLDEN) % 2**64)
    with np.errstate(over="ignore"):
        return mix(first + np.arange(1, count + 1, dtype=np.uint64))


def buckets_of(keys: Any, salt: Any, sizes: Any) -> Any:
    """int32 ids of keys uint64, 0 where the key is; `salt` and `sizes` are those of their fields.

    `id = 1 + floor(h * (size - 1) / 2^32)`, h = upper half of mix(key XOR salt of the field).
    """
    hashed = upper_half(mix(keys ^ salt)) * (np.asarray(sizes) - 1).astype(np.uint64)
    return (_int32(upper_half(hashed)) + 1) * _int32(keys != 0)


def upper_half(x: Any) -> Any:
    """The upper 32 bits of uint64, as uint64."""
    return _shifted(x, 32)


def _shifted(x: Any, bits: int) -> Any:
    if _is_array(x):
        return x >> np.uint64(bits)
    return tf.bitwise.right_shift(x, tf.constant(bits, tf.uint64))


def _int32(x: Any) -> Any:
    return x.astype(np.int32) if _is_array(x) else tf.cast(x, tf.int32)


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic)  # `tf.is_tensor` takes as long as a short array
