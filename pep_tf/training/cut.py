"""The exact cut: masks that keep exactly the budget's number of entries of some tables."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pep_tf.tables import BLOCK_ENTRIES

_HIGH, _LOW = 16, 0xFFFF

Tables = Mapping[str, np.ndarray]


class Part(NamedTuple):
    """Which rows of tables this process has, where several cut together.

    Attributes:
        total: the sum of an array over all processes.
        sharded: names of the tables of which each process has its own rows, `first`, `first + every`,
            ...; of the others all have all.
        first, every: see above.
    """

    total: Callable[[np.ndarray], np.ndarray]
    sharded: Collection[str]
    first: int
    every: int

    def counts(self, name: str) -> bool:
        """Whether this process is the one that counts the entries of a table."""
        return name in self.sharded or self.first == 0

    def number(self, name: str, row: int) -> int:
        """The number of a row in the whole table."""
        return self.first + row * self.every if name in self.sharded else row


def cut_masks(
    scores: Tables, budget: int, block_rows: int | None = None, among: Part | None = None
) -> dict[str, np.ndarray]:
    """Keeps the `budget` entries of all tables that have the highest score.

    Of equal scores the lowest row is kept, within a row the first table and in it the first column:
    as if the tables stood side by side. They are walked three times in blocks, and nothing of their
    size is held but the masks' bits: the score at the budget is found by a radix select over the
    float32 bit patterns.

    Args:
        scores: `{table: float32 [N, d]}`, of any N and d each.
        budget: entries to keep, between 0 and all there are.
        block_rows: rows of a table to look at in one go; None takes as many as memory should hold.
        among: where several processes cut together, what this one has.

    Returns:
        `{table: uint8 [N, ceil(d / 8)]}`, the masks' rows by `numpy.packbits`, of the rows in `scores`.
    """
    masks = {
        name: np.zeros((len(score), -(-score.shape[1] // 8)), np.uint8)
        for name, score in scores.items()
    }
    if budget <= 0:
        return masks
    rows = block_rows or max(1, BLOCK_ENTRIES // sum(score.shape[1] for score in scores.values()))

    def blocks() -> Iterator[np.ndarray]:
        for name, score in scores.items():
            if among is None or among.counts(name):
                for start in range(0, len(score), rows):
                    yield _ordered(score[start : start + rows])

    key, ties = _key_at(blocks, budget, among.total if among else lambda count: count)
    if among is not None:
        return _masks_of_part(scores, key, ties, rows, among)
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


def _masks_of_part(
    scores: Tables, key: int, ties: int, rows: int, among: Part
) -> dict[str, np.ndarray]:
    """The masks of these rows; ties go to the lowest row number among all processes."""
    width, column = sum(score.shape[1] for score in scores.values()), 0
    masks: dict[str, np.ndarray] = {}
    equal: dict[str, np.ndarray] = {}
    for name, score in scores.items():
        bits, found = [], [np.zeros(0, np.int64)]
        for start in range(0, len(score), rows):
            keys = _ordered(score[start : start + rows])
            bits.append(np.packbits(keys > key, axis=1))
            row, col = np.nonzero(keys == key)
            numbers = among.number(name, 0) + (row + start) * (
                among.number(name, 1) - among.number(name, 0)
            )
            found.append(numbers * width + column + col)
        empty = np.zeros((0, -(-score.shape[1] // 8)), np.uint8)
        masks[name], equal[name] = np.concatenate([empty, *bits]), np.concatenate(found)
        column += score.shape[1]
    last = _place_at([equal[name] for name in scores if among.counts(name)], ties, among.total)
    column = 0
    for name, places in equal.items():
        kept = places[places <= last]
        row = kept // width
        row = (row - among.number(name, 0)) // (among.number(name, 1) - among.number(name, 0))
        col = kept % width - column
        np.bitwise_or.at(masks[name], (row, col // 8), (128 >> (col % 8)).astype(np.uint8))
        column += scores[name].shape[1]
    return masks


def _place_at(
    places: Sequence[np.ndarray], rank: int, total: Callable[[np.ndarray], np.ndarray]
) -> int:
    """The place, int64 below 2^48, at this rank from the lowest among those of all processes; -1 for 0."""
    if rank <= 0:
        return -1
    own, found = np.concatenate([np.zeros(0, np.int64), *places]), 0
    for shift in (2 * _HIGH, _HIGH, 0):
        counts = total(np.bincount(own >> shift & _LOW, minlength=1 << _HIGH))
        up_to = np.cumsum(counts)
        digit = int(np.searchsorted(up_to, rank))
        rank -= int(up_to[digit - 1]) if digit else 0
        own = own[own >> shift & _LOW == digit]
        found = found << _HIGH | digit
    return found


def _side_by_side(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The same rows of several tables side by side; 0, below every key, past the end of a table."""
    parts = list(blocks)
    rows = max(map(len, parts))
    if all(len(part) == rows for part in parts):
        return np.concatenate(parts, axis=1)
    return np.concatenate([np.pad(x, ((0, rows - len(x)), (0, 0))) for x in parts], axis=1)


def _ordered(score: np.ndarray) -> np.ndarray:
    """uint32 keys that sort as the float32 values do (-0.0 equals 0.0)."""
    raw = (np.asarray(score, np.float32) + np.float32(0)).view(np.uint32)
    negative = raw >> 31 == 1
    return np.where(negative, ~raw, raw | np.uint32(1 << 31))


def _key_at(
    blocks: Callable[[], Iterable[np.ndarray]],
    budget: int,
    total: Callable[[np.ndarray], np.ndarray],
) -> tuple[int, int]:
    """Key of the entry at rank `budget`, and how many entries with that key belong to the cut."""
    high, left = _descend(
        (np.bincount((keys >> _HIGH).ravel(), minlength=1 << _HIGH) for keys in blocks()),
        budget,
        total,
    )

    def low_counts(keys: np.ndarray) -> np.ndarray:
        return np.bincount(keys[keys >> _HIGH == high] & _LOW, minlength=1 << _HIGH)

    low, left = _descend((low_counts(keys) for keys in blocks()), left, total)
    return (high << _HIGH) | low, left


def _descend(
    counts: Iterable[np.ndarray], wanted: int, over_all: Callable[[np.ndarray], np.ndarray]
) -> tuple[int, int]:
    """The bucket, from the top, that holds rank `wanted`, and that rank within it."""
    total = np.zeros(1 << _HIGH, np.int64)
    for count in counts:
        total += count
    total = over_all(total)
    from_top = np.cumsum(total[::-1])
    place = int(np.searchsorted(from_top, wanted))
    above = int(from_top[place - 1]) if place else 0
    return len(total) - 1 - place, wanted - above
