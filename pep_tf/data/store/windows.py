"""The order of an epoch: blocks in shuffled order, rows mixed within windows of blocks, cut into batches.

Rows of a window are shuffled as one; no row is ever an element of a data set by itself. A batch number
names a window and a place in it, which makes resuming a matter of arithmetic.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

WINDOW_BLOCKS = 16


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a stream starts: a window and how many of its rows (after mixing) to leave out."""

    window: int
    skip_rows: int


def group_rows(block_rows: np.ndarray | list[int], window_blocks: int) -> np.ndarray:
    """int64 [windows], rows of each window of `window_blocks` blocks in the order given."""
    starts = np.arange(0, len(block_rows), window_blocks)
    return np.add.reduceat(np.asarray(block_rows, np.int64), starts)


def locate(window_rows: np.ndarray, first_row: int) -> Position:
    """The window that holds row `first_row` of an epoch; one past the last window when none does."""
    ends = np.cumsum(window_rows)
    window = int(np.searchsorted(ends, first_row, side="right"))
    before = int(ends[window - 1]) if window else 0
    return Position(window, first_row - before if window < len(ends) else 0)


def permutation(count: int, seed: int | None, epoch: int) -> np.ndarray:
    """int64 [count], an order that depends on (seed, epoch); the stored order without a seed."""
    if seed is None:
        return np.arange(count)
    return np.random.default_rng([seed, epoch]).permutation(count)


def window_seed(seed: int, epoch: int) -> tf.Tensor:
    """int32 [2] for stateless random functions, from (seed, epoch)."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(2)
    return tf.constant(state.view(np.int32))


def mix_rows(
    parts: Sequence[tf.Tensor], seed: tf.Tensor | None, window: tf.Tensor, at: Position
) -> tuple[tf.Tensor, ...]:
    """Shuffles the rows of one window; the first window of a resumed stream loses its leading rows.

    Args:
        parts: what rows have, [n, ...] each: ids, labels, perhaps weights.
        seed: from `window_seed`, or None to keep the order.
        window: scalar int64, number of the window in its epoch.
        at: where the stream starts.
    """
    skip = tf.where(window == at.window, tf.constant(at.skip_rows, tf.int64), 0)
    if seed is None:
        return tuple(part[skip:] for part in parts)
    rows = tf.range(tf.size(parts[1]))
    rows = tf.random.experimental.stateless_shuffle(rows, tf.random.fold_in(seed, window))[skip:]
    return tuple(tf.gather(part, rows) for part in parts)
