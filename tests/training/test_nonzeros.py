"""Counting non-zeros, whole or by a sample of rows."""

import numpy as np
import pytest

from pep_tf.layers import PEPEmbedding
from pep_tf.training.nonzeros import Nonzeros


def layer_of(kept_rows):
    layer = PEPEmbedding(1000, 4, pruning="none")
    layer.build()
    table = np.zeros((1000, 4), np.float32)
    table[np.random.default_rng(5).permutation(1000)[:kept_rows], :2] = 1
    layer.table.assign(table)
    return layer


def test_a_small_table_is_counted_whole():
    count = Nonzeros(layer_of(137))
    assert count.exact
    assert count() == 274


def test_a_sample_is_scaled_up_and_does_not_change():
    layer = layer_of(500)
    count = Nonzeros(layer, sample_rows=400)
    assert not count.exact
    assert count() == pytest.approx(1000, rel=0.1)
    assert count() == count()
    layer.table.assign(layer.table * 0)
    assert count() == 0
