import pytest

from pep_tf.tuning.hopeless import is_hopeless


@pytest.mark.parametrize(
    ("score", "others", "expected"),
    [
        (0.1, [], False),
        (0.1, [0.7, 0.8, 0.9], False),
        (0.1, [0.7, 0.8, 0.9, 0.9], True),
        (0.7, [0.7, 0.8, 0.9, 0.9], False),
        (0.75, [0.7, 0.8, 0.9, 0.9, 0.6, 0.5, 0.4, 0.3, 0.2], False),
        (0.39, [0.7, 0.8, 0.9, 0.9, 0.6, 0.5, 0.4, 0.3, 0.2], True),
    ],
)
def test_below_the_lowest_quarter_of_at_least_four(score, others, expected):
    assert is_hopeless(score, others) is expected
