import itertools

import numpy as np
import pytest

from pep_tf.data.synthetic.shape import ZipfFields, get_shape
from pep_tf.data.synthetic.truth import Truth, expected_auc
from pep_tf.errors import DataError


def make(num_features=20_000, rank=8, seed=0, shape="criteo") -> tuple[ZipfFields, Truth]:
    fields = ZipfFields(get_shape(shape), get_shape(shape).schema(num_features))
    return fields, Truth(fields, rank=rank, seed=seed)


@pytest.fixture(scope="module")
def criteo() -> tuple[ZipfFields, Truth]:
    return make(200_000)


@pytest.fixture(scope="module")
def table(criteo):
    """Everything the truth says of every feature."""
    fields, truth = criteo
    ids = np.arange(fields.schema.num_features)
    field = np.repeat(np.arange(39), fields.schema.sizes)
    return {
        "field": field,
        "w": truth.weights(ids),
        "v": truth.vectors(ids),
        "dims": truth.useful_dims(ids),
        "p": truth.frequency(ids),
    }


@pytest.mark.parametrize(("shape", "rank"), [("criteo", 8), ("avazu", 1), ("avazu", 3)])
def test_probability_is_the_fm_written_out(shape, rank):
    fields, truth = make(5000, rank, shape=shape)
    ids = fields.sample(np.random.default_rng(1), 50).T
    features = ids + fields.schema.offsets
    w, v = truth.weights(features).astype(float), truth.vectors(features).astype(float)
    logit = truth.intercept + w.sum(axis=1)
    for f, g in itertools.combinations(range(fields.schema.num_fields), 2):
        logit += (v[:, f] * v[:, g]).sum(axis=1)
    np.testing.assert_allclose(truth.probability(ids), 1 / (1 + np.exp(-logit)), rtol=2e-5)
    np.testing.assert_allclose(truth.logit(ids.T), logit, atol=2e-5)


def test_every_fourth_field_and_every_rare_feature_has_no_effect(table):
    without = (table["field"] % 4 == 3) | (table["p"] < 1e-5)
    assert 0.5 < without.mean() < 1
    assert not table["w"][without].any()
    assert not table["v"][without].any()
    assert table["w"][~without].all()


def test_a_third_of_the_features_with_an_effect_has_no_vector_at_any_frequency(table):
    effect = (table["field"] % 4 != 3) & (table["p"] >= 1e-5)
    for low, high in [(1e-5, 1e-4), (1e-4, 1e-3), (1e-3, 1)]:
        band = effect & (table["p"] >= low) & (table["p"] < high)
        assert (table["dims"][band] == 0).mean() == pytest.approx(1 / 3, abs=0.08), low


def test_useful_dims_grow_with_frequency_and_are_nested(table):
    nonzero = table["v"] != 0
    np.testing.assert_array_equal(nonzero.sum(axis=1), table["dims"])
    np.testing.assert_array_equal(nonzero, np.arange(8) < table["dims"][:, None])
    # 7 even steps of log p from 1e-5 to 3e-2: 8 dimensions from 3e-2, 1 below 1e-5 * 3000^(1/7).
    useful = table["dims"] > 0
    assert set(table["dims"][useful & (table["p"] < 1e-5 * 3000 ** (1 / 7))]) == {1}
    middle = useful & (table["p"] >= 1e-5 * 3000 ** (2 / 7)) & (table["p"] < 1e-5 * 3000 ** (3 / 7))
    assert set(table["dims"][middle]) == {3}
    # A field may have a single feature frequent enough for its last dimensions; those are left out.
    frequent = table["dims"][useful & (table["p"] >= 3e-2)]
    assert frequent.max() == 8
    assert np.median(frequent) >= 7


def test_vectors_are_centred_within_their_field(table):
    for f in range(39):
        rows = table["field"] == f
        mean = table["p"][rows] @ table["v"][rows].astype(float)
        scale = table["p"][rows] @ np.abs(table["v"][rows]).astype(float)
        assert (np.abs(mean) <= 1e-6 * scale + 1e-12).all(), f


def test_useful_and_useful_entries_agree_with_useful_dims(criteo, table):
    _, truth = criteo
    np.testing.assert_array_equal(truth.useful, table["dims"] > 0)
    assert truth.useful_entries == table["dims"].sum()


def test_interactions_do_not_correlate_with_single_features(criteo):
    fields, truth = criteo
    ids = fields.sample(np.random.default_rng(5), 100_000)
    first = truth.weights(ids + fields.schema.offsets[:, None]).sum(axis=0)
    pairs = truth.logit(ids) - truth.intercept - first
    assert pairs.std() / first.std() == pytest.approx(1, abs=0.05)
    assert abs(pairs.mean()) < 4 * pairs.std() / np.sqrt(100_000)
    assert abs(np.corrcoef(first, pairs)[0, 1]) < 0.02


@pytest.mark.parametrize("shape", ["criteo", "avazu"])
@pytest.mark.parametrize("seed", [0, 1])
def test_base_rate_and_auc_are_as_planned(shape, seed):
    fields, truth = make(100_000, seed=seed, shape=shape)
    ids = fields.sample(np.random.default_rng(123), 50_000)
    probability = truth.probability(ids.T)
    assert probability.dtype == np.float32
    assert probability.mean() == pytest.approx(0.25, abs=0.005)
    assert expected_auc(probability, probability) == pytest.approx(0.80, abs=0.005)
    linear = truth.weights(ids + fields.schema.offsets[:, None]).sum(axis=0)
    assert expected_auc(linear, probability) == pytest.approx(truth.first_order_auc, abs=0.01)
    assert 0.65 < truth.first_order_auc < 0.75


def test_the_smallest_table_has_a_truth_too():
    fields, truth = make(78)
    assert np.isfinite(truth.probability(np.zeros((1, 39), np.int32))).all()
    assert truth.useful.shape == (78,)


def test_same_seed_same_truth_and_another_seed_another():
    ids = np.arange(2000)
    one, again, other = (make(2000, seed=s)[1] for s in (3, 3, 4))
    np.testing.assert_array_equal(one.vectors(ids), again.vectors(ids))
    assert one.intercept == again.intercept
    assert (one.useful != other.useful).any()


def test_expected_auc_by_hand():
    # Row 1 clicks (.8) above row 0's non-click (.8), each row ties with itself:
    # (.8 * .8 + .2 * .8 / 2 + .8 * .2 / 2) / (1 * 1).
    assert expected_auc(np.array([0.0, 1.0]), np.array([0.2, 0.8])) == pytest.approx(0.8)
    assert expected_auc(np.array([1.0, 1.0]), np.array([0.2, 0.8])) == pytest.approx(0.5)
    assert expected_auc(np.array([2.0, 1.0]), np.array([0.0, 1.0])) == 0.0


def test_bad_arguments(criteo):
    fields, truth = criteo
    with pytest.raises(DataError, match="`rank` must be at least 1. Received: 0"):
        Truth(fields, rank=0, seed=0)
    for ids in ([0, 200_000], [-1]):
        with pytest.raises(DataError, match="`feature_ids` must be between 0 and 199999"):
            truth.useful_dims(np.array(ids))
