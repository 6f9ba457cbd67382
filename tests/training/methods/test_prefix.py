"""Rows that keep their first numbers: what is kept, and that a rotation changes no answer."""

import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.errors import RunError
from pep_tf.export.check import saved_model_answer
from pep_tf.export.inspect import inspect
from pep_tf.training.methods.prefix import falling, rotation
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import Diary


def by_definition(row: np.ndarray) -> list[float]:
    """Isotonic regression by its min-max formula: Robertson et al., 1988."""
    n = range(len(row))
    return [
        min(max(row[low : high + 1].mean() for high in n if high >= k) for low in n if low <= k)
        for k in n
    ]


def test_falling_scores_are_the_isotonic_regression_of_each_row():
    scores = np.random.default_rng(0).exponential(size=(40, 7)).astype(np.float32)
    expected = [by_definition(row) for row in scores]
    np.testing.assert_allclose(falling(scores), expected, rtol=1e-5)


def test_a_rotation_puts_what_the_logit_answers_to_into_the_first_columns():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(60, 8)).astype(np.float32)
    gradients = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 8))
    turn = rotation(gradients.T @ gradients)
    np.testing.assert_allclose(table @ turn @ turn.T, table, atol=1e-5)
    answers = np.square(gradients @ turn).sum(axis=0)
    assert (np.diff(answers) <= 1e-3).all()
    assert answers[3:].sum() < 1e-6 * answers.sum()


def test_tickets_keep_prefixes_and_start_from_the_weights_before_rotated(tmp_path):
    model = tiny.model("fm")
    before = snapshot(model)
    diary, budgets = Diary(), ["40%bytes", "13%bytes"]  # for which this method is the default
    options = {"settings": tiny.settings(epochs=2), "reporter": diary}
    large, small = pep_tf.prune(model, tiny.DATA, budgets=budgets, **options)
    assert "budgets in bytes: method='prefix', dtype='lsq4'" in diary.notes
    assert large.nnz > small.nnz
    mask = large.masks()["embedding"]
    assert (np.diff(mask.astype(int), axis=1) <= 0).all()
    assert not (small.masks()["embedding"] & ~mask).any()
    # V itself was rotated: what is whole in the ticket has the lengths that it had.
    whole = mask.all(axis=1)
    assert whole.any()
    start = large.initial["embedding/table"]
    turned = np.zeros(mask.shape, np.float32)
    turned[mask] = start
    rows = before["embedding/table"][whole]
    np.testing.assert_allclose(turned[whole] @ turned[whole].T, rows @ rows.T, atol=1e-6)
    trained = small.model("trained").embedding.effective_table()
    np.testing.assert_array_equal(small.model().embedding.effective_table(), trained)
    small.retrain(tiny.DATA, settings=tiny.settings(epochs=1))
    version = small.export(tmp_path / "model")
    answers = saved_model_answer(version, {"ids": tiny.DATA.test.ids})
    logits = small.retrained(tiny.DATA.test.ids, training=False)[:, 0]
    np.testing.assert_allclose(answers, tf.sigmoid(logits), rtol=0, atol=1e-6)
    sizes = inspect(version)["bytes"]
    stored = sizes["values"] + sizes["indices"] + sizes["first_order"]
    assert stored <= small.facts["stored_bytes"] <= 0.13 * 4 * 16 * 5


def test_a_model_of_more_than_inner_products_is_refused_before_it_trains():
    with pytest.raises(RunError, match="'prefix' for a model .* Received: DeepFM, table 'embed"):
        pep_tf.prune(tiny.model("deepfm"), tiny.DATA, budgets=[12], method="prefix")
