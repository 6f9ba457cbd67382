"""The exact cut: masks that keep just as many entries of some tables as a budget allows."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from pep_tf.tables import BLOCK_ENTRIES

_HIGH, _LOW = 16, 0xFFFF

Tables = Mapping[str, np.ndarray]


def cut_masks(scores: Tables, budget: int, block_rows: int | None = None) -> dict[str, np.ndarray]:
    """Keeps the `budget` entries of all tables that have the highest score.

    Of equal scores the lowest row is kept, within a row the first table and in it the first column:
    as if the tables stood side by side. They are walked three times in blocks, and nothing of their
    size is held but the masks' bits: the score at the budget is found by a radix select over the
    float32 bit patterns.

    Args:
        scores: `{table: float32 [N, d]}`, of any N and d each.
        budget: entries to keep, between 0 and all there are.
        block_rows: rows of a table to look at in one go; None takes as many as memory should hold.

    Returns:
        `{table: uint8 [N, ceil(d / 8)]}`, the masks' rows by `numpy.packbits`.
    """
    masks = {
        name: np.zeros((len(score), -(-score.shape[1] // 8)), np.uint8)
        for name, score in scores.items()
    }
    if budget <= 0:
        return masks
    rows = block_rows or max(1, BLOCK_ENTRIES // sum(score.shape[1] for score in scores.values()))

    def blocks() -> Iterator[np.ndarray]:
        for score in scores.values():
            for start in range(0, len(score), rows):
                yield _ordered(score[start : start + rows])

    key, ties = _key_at(blocks, budget)
    for start in range(0, max(map(len, scores.values())), rows):
        part = {n: _ordered(s[start : start + rows]) for n, s in scores.items() if start < len(s)}
        keys = _side_by_side(part.values())
        keep = keys > key
        equal = np.flatnonzero(keys == key)[:ties]
        ties -= len(equal)
        keep.flat[equal] = True
        column = 0
        for name, own in part.items():
            count, width = own.shape
            bits = np.packbits(keep[:count, column : column + width], axis=1)
            masks[name][start : start + count] = bits
            column += width
    return masks


def _side_by_side(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The same rows of several tables as one; 0, which is below every key, where one has ended."""
    parts = list(blocks)
    rows = max(map(len, parts))
    if all(len(part) == rows for part in parts):
        return np.concatenate(parts, axis=1)
    return np.concatenate([np.pad(x, ((0, rows - len(x)), (0, 0))) for x in parts], axis=1)


def _ordered(score: np.ndarray) -> np.ndarray:
    """uint32 keys in the order of the float32 values (-0.0 just as 0.0)."""
    raw = (np.asarray(score, np.float32) + np.float32(0)).view(np.uint32)
    negative = raw >> 31 == 1
    return np.where(negative, ~raw, raw | np.uint32(1 << 31))


def _key_at(blocks: Callable[[], Iterable[np.ndarray]], budget: int) -> tuple[int, int]:
    """Key of the entry at rank `budget`, and how many entries with that key belong to the cut."""
    high, left = _descend(
        (np.bincount((keys >> _HIGH).ravel(), minlength=1 << _HIGH) for keys in blocks()), budget
    )

    def low_counts(keys: np.ndarray) -> np.ndarray:
        return np.bincount(keys[keys >> _HIGH == high] & _LOW, minlength=1 << _HIGH)

    low, left = _descend((low_counts(keys) for keys in blocks()), left)
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
