import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from pep_tf.data import ArraySplit
from pep_tf.errors import DataError, DivergedError
from pep_tf.training import Evaluator
from pep_tf.training.metrics import metrics_of
from tests import tiny


def test_by_hand():
    # pairs: 2 over -1 right, 2 over 0 right, 0 over -1 right, 0 over 0 a tie: 3.5 of 4
    metrics = metrics_of(np.array([1, 0, 1, 0]), np.array([2.0, -1.0, 0.0, 0.0]))
    assert metrics.auc == 3.5 / 4
    losses = [math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log(2), math.log(2)]
    assert metrics.logloss == pytest.approx(sum(losses) / 4, rel=1e-14)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([-2.5, -1, 0, 0.25, 3])), max_size=30).map(
        lambda rows: [(True, 0.25), (False, 0), *rows]
    )
)
def test_against_all_pairs_and_sklearn(rows):
    labels, logits = map(np.array, zip(*rows, strict=True))
    above = logits[labels][:, None] - logits[~labels]
    metrics = metrics_of(labels.astype(np.float32), logits.astype(np.float32))
    assert metrics.auc == pytest.approx(np.mean((above > 0) + 0.5 * (above == 0)), rel=1e-12)
    assert metrics.auc == pytest.approx(roc_auc_score(labels, logits), rel=1e-12)
    probability = 1 / (1 + np.exp(-logits))
    assert metrics.logloss == pytest.approx(log_loss(labels, probability), rel=1e-9)


def test_large_logits_do_not_overflow():
    metrics = metrics_of(np.array([1, 0]), np.array([-2000.0, 1000.0]))
    assert (metrics.auc, metrics.logloss) == (0, 1500)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1], []])
def test_one_class_has_no_auc(labels):
    with pytest.raises(
        DataError, match=f"AUC needs rows of both classes. Received: {len(labels)} rows"
    ):
        metrics_of(np.array(labels), np.zeros(len(labels)))


@pytest.mark.parametrize(
    ("labels", "logits", "error", "message"),
    [
        ([0, 2, 0, 2], [1, 2, 0, 3], DataError, "`labels` must be 0 or 1. Received: 2 in row 1"),
        ([0, 1, np.nan], [1, 2, 3], DataError, "`labels` must be 0 or 1. Received: nan in row 2"),
        ([0, 1], [1, np.inf], DivergedError, "finite. Received: inf in row 1, and in all 1 of 2"),
        ([0, 1], [1, 2, 3], DataError, "`logits` and `labels` .* Received: 3 and 2"),
        ([0, 1], [[1], [2]], DataError, r"`logits` must be one number per row. .*shape=\(2, 1\)"),
    ],
)
def test_what_no_metric_exists_for(labels, logits, error, message):
    with pytest.raises(error, match=message):
        metrics_of(np.array(labels), np.array(logits, float))


@pytest.mark.parametrize("batch_size", [7, 120, 1000])
def test_every_row_of_the_split_counts_once(batch_size):
    model = tiny.model("deepfm")
    data = tiny.DATA.validation
    logits = model(data.ids, training=False).numpy()[:, 0]
    expected = metrics_of(data.labels, logits)
    metrics = Evaluator(model, batch_size)(data)
    assert metrics.auc == pytest.approx(expected.auc, abs=1e-3)  # a batch's size may move a tie
    assert metrics.logloss == pytest.approx(expected.logloss, rel=1e-6)


def test_evaluation_changes_nothing():
    model = tiny.model("deepfm")
    before = [v.numpy() for v in model.variables]
    Evaluator(model)(tiny.DATA.test)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, variable)


def test_an_id_outside_its_field():
    ids = tiny.DATA.test.ids.copy()
    ids[5, 1] = 7
    split = ArraySplit(ids, tiny.DATA.test.labels, np.arange(len(ids)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"field `item` \(column 1\)"):
        Evaluator(tiny.model("fm"))(split)
