"""The exact cut: the mask that keeps just as many entries as a budget allows."""

from collections.abc import Callable, Iterable

import numpy as np

Blocks = Callable[[], Iterable[tuple[int, np.ndarray]]]
_HIGH, _LOW = 16, 0xFFFF


def cut_mask(blocks: Blocks, num_features: int, dim: int, budget: int) -> np.ndarray:
    """Keeps the `budget` entries with the highest score; equal scores by lowest index.

    The table is walked three times in blocks, and nothing of its size is held but the mask's bits:
    the score at the budget is found by a radix select over the float32 bit patterns.

    Args:
        blocks: called anew for each walk; yields (first row, score float32 [rows, d]) in order.
        num_features: N.
        dim: d.
        budget: entries to keep, between 0 and N x d.

    Returns:
        uint8 [N, ceil(d / 8)], the mask's rows by `numpy.packbits`.
    """
    bits = np.zeros((num_features, -(-dim // 8)), np.uint8)
    if budget <= 0:
        return bits
    key, ties = _key_at(blocks, budget)
    for start, score in blocks():
        keys = _ordered(score)
        keep = keys > key
        equal = np.flatnonzero(keys == key)[:ties]
        ties -= len(equal)
        keep.flat[equal] = True
        bits[start : start + len(score)] = np.packbits(keep, axis=1)
    return bits


def _ordered(score: np.ndarray) -> np.ndarray:
    """uint32 keys in the order of the float32 values (-0.0 just as 0.0)."""
    raw = (np.asarray(score, np.float32) + np.float32(0)).view(np.uint32)
    negative = raw >> 31 == 1
    return np.where(negative, ~raw, raw | np.uint32(1 << 31))


def _key_at(blocks: Blocks, budget: int) -> tuple[int, int]:
    """Key of the entry at rank `budget`, and how many entries with that key belong to the cut."""
    high, left = _descend(
        (np.bincount((_ordered(s) >> _HIGH).ravel(), minlength=1 << _HIGH) for _, s in blocks()),
        budget,
    )

    def low_counts(score: np.ndarray) -> np.ndarray:
        keys = _ordered(score).ravel()
        return np.bincount(keys[keys >> _HIGH == high] & _LOW, minlength=1 << _HIGH)

    low, left = _descend((low_counts(score) for _, score in blocks()), left)
    return (high << _HIGH) | low, left


def _descend(counts: Iterable[np.ndarray], wanted: int) -> tuple[int, int]:
    """The bucket, from the top, that holds rank `wanted`, and that rank within it."""
    total = np.zeros(1 << _HIGH, np.int64)
    for count in counts:
        total += count
    from_top = np.cumsum(total[::-1])
    place = int(np.searchsorted(from_top, wanted))
    above = int(from_top[place - 1]) if place else 0
    return len(total) - 1 - place, wanted - above
