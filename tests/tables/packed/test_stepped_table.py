"""Numbers of 4 bits that were not rounded in training: a step for each field and column."""

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.tables.packed import Entries, FieldTable, PackedTable, SteppedTable, pack

SIZES = (300, 40, 1)


def table(kept: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    scales = np.repeat(rng.uniform(0.01, 3, (len(SIZES), 12)), SIZES, axis=0)
    there = rng.random((341, 12)) < kept * rng.uniform(0.2, 2, (341, 1))
    return (rng.normal(size=(341, 12)) * scales * there).astype(np.float32)


def nearest(numbers: np.ndarray) -> np.ndarray:
    """What is stored of a table, by the formula: of each field and column the best of 37 steps."""
    stored, weights = np.zeros(numbers.shape), np.count_nonzero(numbers, axis=1) ** 2.0
    for own in np.split(np.arange(341), np.cumsum(SIZES)[:-1]):
        for column in range(12):
            values, tried = numbers[own, column].astype(float), []
            for share in np.linspace(0.1, 1, 37):
                step = np.abs(values).max() * share / 7
                rounded = step * np.clip(np.rint(values / (step or 1)), -7, 7)
                tried.append((weights[own] @ np.square(rounded - values), rounded))
            stored[own, column] = min(tried, key=lambda found: found[0])[1]
    return stored


@pytest.mark.parametrize("kept", [0.05, 0.1])
def test_it_looks_up_the_nearest_whole_numbers_of_steps(kept):
    numbers = table(kept)
    stored = pack([numbers[:70], numbers[70:]], dtype="int4", field_sizes=SIZES)
    assert isinstance(stored, SteppedTable)
    found = stored.lookup(tf.range(341)).numpy()
    expected = nearest(numbers)
    # A step is a float16, by which a number half way between two may go to the other.
    assert np.isclose(found, expected, rtol=1e-3, atol=1e-6).mean() > 0.98
    apart = np.square(found - numbers).sum()
    assert apart < 1.02 * np.square(expected - numbers).sum()
    alone = PackedTable.of([numbers], dtype="int4")
    assert apart < np.square(alone.lookup(tf.range(341)).numpy() - numbers).sum()
    columns = sum((own != 0).any(axis=0).sum() for own in np.split(numbers, np.cumsum(SIZES)[:-1]))
    assert len(stored.arrays["steps"]) == 1 + columns
    assert stored.nbytes == sum(array.nbytes for array in stored.arrays.values())


def test_narrow_tables_and_tables_without_fields_keep_scales_of_their_own():
    narrow = np.where(np.arange(12) > 8, table(9.0), 0).astype(np.float32)
    assert isinstance(pack([narrow], dtype="int4", field_sizes=SIZES), FieldTable)
    assert not isinstance(pack(Entries.of([table(0.3)]), dtype="int4"), SteppedTable)
