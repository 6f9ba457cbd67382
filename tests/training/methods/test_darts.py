"""The search of widths: its mixture against the paper's formula, and what its tickets keep."""

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data.feature_counts import count_features
from pep_tf.training.methods.darts import MixtureOfWidths, column_scores, darts
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import Diary, Interrupt, assert_same

FIELDS, WIDTHS = (2, 3), (1, 2, 4, 5)


def mixture() -> MixtureOfWidths:
    layer = MixtureOfWidths(5, 5, field_sizes=FIELDS, pruning="none")
    layer.build()
    layer.weights_of_widths.assign(np.random.default_rng(0).normal(size=(2, 4)))
    return layer


def by_the_formula(table, weights):
    """Zhao et al., section 3: e = sum over widths of softmax(a)_c times the first w_c numbers."""
    found = np.zeros((5, 5))
    for row in range(5):
        chances = np.exp(weights[int(row >= FIELDS[0])])
        for chance, width in zip(chances / chances.sum(), WIDTHS, strict=True):
            found[row, :width] += chance * table[row, :width]
    return found


def test_a_row_is_the_mixture_of_its_widths_and_so_is_the_gradient_of_their_weights():
    layer, rows = mixture(), np.array([0, 4, 2, 4])
    table, weights = layer.table.numpy(), layer.weights_of_widths.numpy().astype(np.float64)
    np.testing.assert_allclose(layer(rows), by_the_formula(table, weights)[rows], atol=1e-6)
    np.testing.assert_allclose(layer.effective_table(), by_the_formula(table, weights), atol=1e-6)
    assert layer.trainable_variables == [layer.table]
    upstream = np.random.default_rng(1).normal(size=(4, 5))
    with tf.GradientTape() as tape:
        tape.watch(layer.weights_of_widths.value)
        loss = tf.reduce_sum(layer(rows) * upstream.astype(np.float32))
    found = tape.gradient(loss, layer.weights_of_widths.value).numpy()
    for at in np.ndindex(2, 4):
        step = 1e-5 * (np.arange(8).reshape(2, 4) == at[0] * 4 + at[1])
        change = by_the_formula(table, weights + step) - by_the_formula(table, weights - step)
        assert found[at] == pytest.approx((change[rows] * upstream).sum() / 2e-5, abs=1e-4)
    layer.step(found, 0.01, tf.constant(1.0))  # the first step of Adam is of one size
    moved = layer.weights_of_widths.numpy() - weights
    np.testing.assert_allclose(moved, -0.01 * np.sign(found), rtol=1e-2)


def test_columns_rank_by_the_widths_that_hold_them_and_rows_of_a_column_by_frequency():
    layer = mixture()
    scores = column_scores(layer, np.array([1, 9, 4, 4, 7]))
    shares = layer.shares().numpy()
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (
        np.argsort(-scores[:, 0]) == [1, 4, 2, 3, 0]
    ).all()  # every width holds the first column
    own = np.repeat(shares, FIELDS, axis=0)
    assert (
        (own[:, 1:].ravel()[:, None] > own[:, 1:].ravel() + 1e-5)
        <= (scores[:, 1:].ravel()[:, None] > scores[:, 1:].ravel())
    ).all()


def test_tickets_keep_prefixes_and_a_search_that_was_cut_off_goes_on_to_the_same(tmp_path):
    def cut(folder=None, reporter=None):
        model = tiny.model("fm")
        settings = tiny.settings(epochs=3, checkpoint_every=7)
        return snapshot(model), darts(
            model, tiny.DATA, settings, [33, 9], folder=folder, reporter=reporter
        )

    before, result = cut()
    large, small = result.tickets
    assert (large.nnz, small.nnz, large.facts["method"]) == (33, 9, "darts")
    mask = large.mask()
    assert (np.diff(mask.astype(int), axis=1) <= 0).all()
    np.testing.assert_array_equal(large.initial["embedding/table"], before["embedding/table"][mask])
    assert (large.trained["embedding/table"] != large.initial["embedding/table"]).all()
    most = np.argsort(-count_features(tiny.DATA), kind="stable")[:9]
    assert small.mask()[most, 0].all()
    with pytest.raises(Interrupt):
        cut(tmp_path, Diary(at=4))
    _, resumed = cut(tmp_path)
    for one, other in zip(resumed.tickets, result.tickets, strict=True):
        assert_same(one.masks(), other.masks())
        assert_same(one.trained, other.trained)
