"""Counting non-zeros, whole or by a sample of rows."""

import numpy as np
import pytest

from pep_tf.layers import PEPEmbedding
from pep_tf.training.nonzeros import Nonzeros


def layer_of(kept_rows):
    layer = PEPEmbedding(1000, 4, threshold_init=-9.0)
    layer.build()
    table = np.zeros((1000, 4), np.float32)
    table[np.random.default_rng(5).permutation(1000)[:kept_rows], :2] = 1
    layer.table.assign(table)
    return layer


def test_a_small_table_is_counted_whole():
    count = Nonzeros(layer_of(137))
    assert count.exact
    nnz, _, thresholds = count()
    assert nnz == 274
    np.testing.assert_array_equal(thresholds, np.full((1000, 4), -9.0, np.float32))


def test_a_sample_is_scaled_up_and_does_not_change():
    layer = layer_of(500)
    count = Nonzeros(layer, sample_rows=400)
    assert not count.exact
    nnz, _, thresholds = count()
    assert nnz == pytest.approx(1000, rel=0.1)
    assert thresholds.shape == (400, 4)
    assert count()[0] == nnz
    layer.table.assign(layer.table * 0)
    assert count()[0] == 0
