"""Constants by column."""

import numpy as np
import pytest

from pep_tf.optimizers import Hyper
from pep_tf.optimizers.columns import Columns


def test_what_is_alike_is_one_number() -> None:
    columns = Columns((Hyper(), Hyper(target=5.0)), (2, 1))
    assert columns.count == 3
    assert (columns.learning_rate, columns.l2, columns.beta_1) == (1e-3, 1e-5, 0.9)
    np.testing.assert_array_equal(columns.target, [0.0, 0.0, 5.0])


def test_equal_constants_share_a_compilation() -> None:
    one, other = (Columns((Hyper(),), (4,)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Columns((Hyper(l2=0.0),), (4,))


def test_limits_are_infinite_without_decay() -> None:
    columns = Columns((Hyper(l2=0.0), Hyper(l2=0.5)), (1, 1))
    np.testing.assert_allclose(columns.limit(2.0), [np.inf, 40.0])


def test_strong_steps_are_cut_in_base_2() -> None:
    assert Columns((Hyper(),), (1,)).bits == 2
    assert Columns((Hyper(), Hyper(learning_rate=1e-2, l2=1e-3)), (1, 1)).bits == 1
    assert Columns((Hyper(epsilon=0.0),), (1,)).bits == 1


def test_constants_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="`hypers` must be one for each of `dims`"):
        Columns((Hyper(),), (1, 2))
    with pytest.raises(ValueError, match="alike in beta_1"):
        Columns((Hyper(), Hyper(beta_1=0.5)), (1, 2))
