"""Learned sizes, against masks small enough to count by hand."""

import numpy as np
import pytest

from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.data.feature_counts import count_features
from pep_tf.experiments.feature_counts import load_feature_counts, save_feature_counts
from pep_tf.experiments.report.sizes import mean_sizes, read_sizes
from tests import tiny
from tests.experiments.report.folders import write_ticket

FIELDS = {"a": 2, "b": 3}
COUNTS = np.array([0, 3, 4, 16, 17])
MASK = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]], bool)


@pytest.fixture
def folder(tmp_path):
    write_ticket(tmp_path, MASK, FIELDS)
    path = tmp_path / "feature_counts.safetensors"
    save_feature_counts(path, FeatureSchema.of(FIELDS), COUNTS)
    return tmp_path


def test_by_field_and_by_frequency(folder):
    sizes = read_sizes(folder, [])
    (ticket,) = sizes.tickets
    assert sizes.fields.names == ("a", "b")
    np.testing.assert_allclose(ticket.by_field, [[0.5, 0, 0], [2 / 3, 2 / 3, 1 / 3]])
    assert sizes.bins.names == ("0", "1–3", "4–15", "16–63")
    assert sizes.bins.features.tolist() == [1, 1, 1, 2]
    expected = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0.5, 0.5, 0.5]]
    np.testing.assert_allclose(ticket.by_frequency, expected)
    assert ticket.emptied == 2 / 5


def test_blocks_do_not_change_the_sums(folder, monkeypatch):
    whole = read_sizes(folder, []).tickets[0]
    monkeypatch.setattr("pep_tf.experiments.report.sizes._ROWS_AT_ONCE", 2)
    parts = read_sizes(folder, []).tickets[0]
    np.testing.assert_array_equal(parts.by_field, whole.by_field)
    np.testing.assert_array_equal(parts.by_frequency, whole.by_frequency)
    assert parts.emptied == whole.emptied


def test_mean_over_seeds_with_other_bins(folder, tmp_path):
    other = tmp_path / "other"
    write_ticket(other, ~MASK & (np.arange(5) < 3)[:, None], FIELDS)
    counts = np.array([1, 1, 1, 1, 2])
    path = other / "feature_counts.safetensors"
    save_feature_counts(path, FeatureSchema.of(FIELDS), counts)
    both = mean_sizes([read_sizes(folder, []), read_sizes(other, [])])
    np.testing.assert_allclose(both.tickets[0].by_field[0], [0.5, 0.5, 0.5])
    assert both.bins.names == ("0", "1–3", "4–15", "16–63")
    # Bin "0" is empty in the second seed, bins "4–15" and "16–63" do not exist in it.
    np.testing.assert_allclose(both.tickets[0].by_frequency[[0, 2]], [[0, 0, 0], [1, 1, 0]])
    np.testing.assert_allclose(both.tickets[0].by_frequency[1], [(1 + 1 / 5) / 2, 0.2, 0.3])


def test_counts_of_features():
    ids = [[0, 2], [1, 2], [1, 0]]
    split = ArraySplit(ids, [0, 1, 1], np.arange(3))
    data = CTRData("x", FeatureSchema.of(FIELDS), split, split, split)
    assert count_features(data).tolist() == [1, 2, 1, 0, 2]
    assert count_features(tiny.DATA).sum() == 200 * 3


def test_counts_read_back(folder):
    schema, counts = load_feature_counts(folder / "feature_counts.safetensors")
    assert schema == FeatureSchema.of(FIELDS)
    assert counts.tolist() == COUNTS.tolist()
