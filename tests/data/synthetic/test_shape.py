import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.schema import FeatureSchema
from pep_tf.data.synthetic.shape import Column, Shape, ZipfFields, get_shape
from pep_tf.errors import DataError


def toy(sizes: dict[str, int], *exponents: float) -> ZipfFields:
    columns = [Column(n, s, a, "hex") for (n, s), a in zip(sizes.items(), exponents, strict=True)]
    return ZipfFields(Shape("toy", tuple(columns)), FeatureSchema.of(sizes))


def expected_different(fields: ZipfFields, rows: int) -> float:
    """Mean number of different features in `rows` rows: sum over features of 1 - (1 - p)^rows."""
    return sum(
        float((1 - (1 - fields.probability(f, np.arange(size))) ** rows).sum())
        for f, size in enumerate(fields.schema.sizes)
    )


@pytest.mark.parametrize(
    ("name", "fields", "total"), [("criteo", 39, 1_086_810), ("avazu", 22, 2_018_012)]
)
def test_at_the_original_total_the_sizes_are_the_vocabularies(name, fields, total):
    shape = get_shape(name)
    assert len(shape.columns) == fields
    assert shape.schema(total).sizes == tuple(c.vocabulary for c in shape.columns)


@settings(deadline=None)
@given(st.sampled_from(["criteo", "avazu"]), st.integers(78, 50_000_000))
def test_sizes_sum_to_num_features_and_keep_the_order(name, num_features):
    shape = get_shape(name)
    schema = shape.schema(num_features)
    assert schema.num_features == num_features
    assert min(schema.sizes) >= 2
    assert schema.names == tuple(c.name for c in shape.columns)
    by_vocabulary = [
        s for _, s in sorted(zip([c.vocabulary for c in shape.columns], schema.sizes, strict=True))
    ]
    assert by_vocabulary == sorted(schema.sizes)


def test_kinds_of_columns():
    kinds = [c.kind for c in get_shape("criteo").columns]
    assert kinds == ["integer"] * 13 + ["hex"] * 26
    assert max(get_shape("criteo").schema(2_000_000).sizes[:13]) < 300


def test_probability_by_hand():
    # H(x) = 1/x at a = 2: (1 - 1/2, 1/2 - 1/3, 1/3 - 1/4) / (1 - 1/4).
    np.testing.assert_allclose(
        toy({"a": 3}, 2.0).probability(0, np.arange(3)), [2 / 3, 2 / 9, 1 / 9], rtol=1e-12
    )
    # H(x) = sqrt(x) at a = 1/2, n = 3: (sqrt 2 - 1, sqrt 3 - sqrt 2, 2 - sqrt 3) / (2 - 1).
    np.testing.assert_allclose(
        toy({"a": 3}, 0.5).probability(0, np.arange(3)),
        [2**0.5 - 1, 3**0.5 - 2**0.5, 2 - 3**0.5],
        rtol=1e-12,
    )


def test_probabilities_sum_to_one_and_fall():
    fields = ZipfFields(get_shape("criteo"), get_shape("criteo").schema(2_000_000))
    for f, size in enumerate(fields.schema.sizes):
        p = fields.probability(f, np.arange(size))
        assert p.sum() == pytest.approx(1, abs=1e-9)
        assert (np.diff(p) < 0).all()


def test_samples_follow_the_probability():
    fields = toy({"a": 2, "b": 50, "c": 40}, 3.1, 0.7, 1.05)
    ids = fields.sample(np.random.default_rng(0), 200_000)
    assert ids.shape == (3, 200_000)
    assert ids.dtype == np.int32
    for f, size in enumerate(fields.schema.sizes):
        expected = 200_000 * fields.probability(f, np.arange(size))
        seen = np.bincount(ids[f], minlength=size)
        assert len(seen) == size
        chi2 = ((seen - expected) ** 2 / expected).sum()
        assert chi2 < size - 1 + 4 * np.sqrt(2 * (size - 1))  # 4 standard deviations


def test_a_uniform_next_to_one_stays_in_the_field():
    class AlmostOne(np.random.Generator):
        def random(self, size):  # type: ignore[override]
            return np.full(size, np.nextafter(1, 0))

    fields = toy({"a": 7, "b": 360_000, "c": 9}, 2.5, 0.93, 1.01)
    assert fields.sample(AlmostOne(np.random.PCG64()), 1).ravel().tolist() == [6, 359_999, 8]


@pytest.mark.parametrize("threshold", [1.0, 0.5, 2 / 9, 0.2, 0.0])
def test_count_above_counts(threshold):
    fields = toy({"a": 3}, 2.0)
    p = fields.probability(0, np.arange(3))
    assert fields.count_above(0, threshold) == (p >= threshold).sum()


def test_different_features_in_a_batch_of_criteo_at_two_million():
    fields = ZipfFields(get_shape("criteo"), get_shape("criteo").schema(2_000_000))
    assert expected_different(fields, 1024) == pytest.approx(10_187, abs=1)  # as documented
    ids = fields.sample(np.random.default_rng(0), 8 * 1024) + fields.schema.offsets[:, None]
    seen = [len(np.unique(batch)) for batch in np.split(ids, 8, axis=1)]
    assert 10_000 < np.mean(seen) < 10_400


@pytest.mark.parametrize(("name", "lowest"), [("criteo", 78), ("avazu", 44)])
def test_too_few_or_too_many_features(name, lowest):
    shape = get_shape(name)
    assert set(shape.schema(lowest).sizes) == {2}
    for wrong in (lowest - 1, 0, -5, 2**31):
        with pytest.raises(DataError, match=f"`num_features` must be between {lowest}.*={wrong}"):
            shape.schema(wrong)


def test_unknown_shape():
    with pytest.raises(DataError, match=r"`shape` must be one of \['avazu', 'criteo'\].*'cirteo'"):
        get_shape("cirteo")
