"""Rows that come block by block, held in memory as a data set's splits."""

from collections.abc import Iterable, Sequence

import numpy as np

from pep_tf.data.dataset import ArraySplit
from pep_tf.data.store.assign import SPLITS
from pep_tf.data.store.deal import RowBlock


def held(
    blocks: Iterable[RowBlock],
    rows: Sequence[np.ndarray] | None = None,
    is_float: np.ndarray | None = None,
) -> tuple[ArraySplit, ArraySplit, ArraySplit]:
    """Train, validation and test, whose reader knows what they hold.

    Args:
        blocks: all rows.
        rows: the places of the rows of each split among all; None: as they come.
        is_float: see `FeatureSchema.is_float`.
    """
    *parts, all_weights = zip(*blocks, strict=True)
    numbers, split, _, labels, ids = map(np.concatenate, parts)
    weights = None if all_weights[0] is None else np.concatenate(all_weights)
    train, validation, test = (
        ArraySplit(
            *(ids[own], labels[own], numbers[own]),
            weights=None if weights is None else weights[own],
            is_float=is_float,
        )
        for own in rows or [np.flatnonzero(split == place) for place in range(len(SPLITS))]
    )
    for one in (train, validation, test):
        one.is_known = True
    return train, validation, test
