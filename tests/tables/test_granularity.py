import pytest

from pep_tf.layers import GRANULARITIES, Granularity


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("global", (1,)),
        ("dimension", (8,)),
        ("feature", (100, 1)),
        ("feature_dim", (100, 8)),
        ("field", (3, 1)),
        ("field_dim", (3, 8)),
    ],
)
def test_shape_of_the_thresholds(name, shape):
    assert Granularity(name).shape(100, 3, 8) == shape


def test_which_have_a_row_a_feature_or_a_field():
    assert [n for n in GRANULARITIES if Granularity(n).by_feature] == ["feature", "feature_dim"]
    assert [n for n in GRANULARITIES if Granularity(n).by_field] == ["field", "field_dim"]


@pytest.mark.parametrize("name", ["features", "", None, 3])
def test_unknown_name(name):
    with pytest.raises(ValueError, match=r"`granularity` must be one of .*'field_dim'.* Received:"):
        Granularity(name)
