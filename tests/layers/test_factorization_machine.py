import numpy as np
import pytest

from pep_tf.layers import FactorizationMachine
from tests.layers import checks

EMBEDDED = np.array([[[1, 2], [3, 4], [-1, 0.5]], [[0, 0], [2, 2], [1, -1]]], np.float32)


def test_sum_of_pairwise_products():
    # row 0: 1*3+2*4 = 11, -1+1 = 0, -3+2 = -1; row 1: 0, 0, 2-2 = 0
    np.testing.assert_allclose(FactorizationMachine()(EMBEDDED), [[10], [0]])


def test_one_field_has_no_pairs():
    np.testing.assert_array_equal(FactorizationMachine()(EMBEDDED[:, :1]), [[0], [0]])


def test_against_all_pairs():
    embedded = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)
    products = np.einsum("bfd,bgd->bfg", embedded, embedded, dtype=np.float64)
    expected = np.triu(products, k=1).sum((1, 2))[:, None]
    np.testing.assert_allclose(FactorizationMachine()(embedded), expected, rtol=1e-5)


def test_shape_must_be_of_rank_3():
    with pytest.raises(
        ValueError, match=r"`embedded` must have shape \[B, F, d\]. Received: shape"
    ):
        FactorizationMachine()(EMBEDDED[0])


def test_reload(tmp_path):
    checks.check_config(FactorizationMachine(name="pairs"))
    checks.check_reload(FactorizationMachine(), EMBEDDED, tmp_path)


@checks.each_policy
def test_policy(policy):
    checks.check_policy(FactorizationMachine(dtype=policy), EMBEDDED, policy)


def test_jit():
    checks.check_jit(FactorizationMachine(), EMBEDDED)
