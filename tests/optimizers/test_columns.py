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


def test_strong_steps_are_cut_finer() -> None:
    mild, strong = Hyper(), Hyper(learning_rate=1e-2, l2=1e-3)
    coarse, fine = (Columns((h,), (1,)).stages for h in (mild, strong))
    assert coarse.exact < fine.exact
    assert coarse.bits > fine.bits
    assert coarse.slow_bits > fine.slow_bits
    assert Columns((mild, strong), (1, 1)).stages == fine
    assert Columns((Hyper(epsilon=0.0),), (1,)).stages == fine


def test_n_is_held_where_a_step_can_overshoot() -> None:
    assert Columns((Hyper(),), (1,)).least_n == 0.0
    strong = Hyper(learning_rate=1e-2, l2=1e-3, epsilon=0.0)
    # A step maps (v, m) to (v - eta m', m'), m' = b1 m + (1 - b1) l2 v: at the edge to its negative.
    eta = 1e-2 / np.sqrt(edge := (1e-2 * 1e-3 * 0.1 / 3.8) ** 2)
    step = np.array([[1 - eta * 0.1 * 1e-3, -eta * 0.9], [0.1 * 1e-3, 0.9]])
    np.testing.assert_allclose(np.linalg.eigvals(step).min(), -1.0, rtol=1e-9)
    least = Columns((Hyper(epsilon=0.0, l2=0.0), strong), (2, 1)).least_n
    np.testing.assert_allclose(least, [0.0, 0.0, 1.5 * edge])


def test_constants_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="`hypers` must be one for each of `dims`"):
        Columns((Hyper(),), (1, 2))
    with pytest.raises(ValueError, match="alike in beta_1"):
        Columns((Hyper(), Hyper(beta_1=0.5)), (1, 2))
