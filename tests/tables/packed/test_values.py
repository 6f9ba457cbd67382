"""Numbers in four bits: by which scale."""

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.tables.packed.values import Values


def stored(values: np.ndarray, runs: np.ndarray | None) -> np.ndarray:
    arrays, unit = Values.encode(values, "int4", "x", runs)
    width = values.shape[1] if values.ndim > 1 else None
    places = tf.range(1, len(values) + 1)
    return Values(arrays, "x", unit, width).at(places, places if width is None else None).numpy()


@pytest.mark.parametrize("shape", [(640,), (40, 16), (300, 1), (90, 5)])
def test_the_scale_of_a_block_is_the_share_of_its_maximum_with_the_smallest_error(shape):
    values = np.random.default_rng(0).standard_t(3, shape).astype(np.float32)
    runs = np.ones(len(values), int) if values.ndim == 1 else None
    found = stored(values, runs)
    rows = values.reshape(len(values), -1)
    size = max(1, 64 // rows.shape[1])
    blocks = np.arange(1, len(values) + 1) // size  # a place of nothing comes first
    for block in np.unique(blocks):
        own, got = rows[blocks == block], found.reshape(rows.shape)[blocks == block]
        errors = []
        for share in (1, 0.9, 0.8, 0.7, 0.6, 0.5):
            scale = share * np.abs(own).max() / 7
            errors.append(np.square(np.clip(np.rint(own / scale), -7, 7) * scale - own).sum())
        assert np.square(got - own).sum() == pytest.approx(min(errors), rel=0.02, abs=1e-6)


def test_numbers_on_a_grid_come_back():
    codes = np.random.default_rng(1).integers(-7, 8, (50, 8))
    codes[::4, 0] = 7
    np.testing.assert_array_equal(stored((0.25 * codes).astype(np.float32), None), 0.25 * codes)
