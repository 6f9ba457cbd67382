"""What the tests of searches share."""

import functools
import types

import pytest
import scipy.optimize
from keras_tuner.src.tuners import bayesian


@pytest.fixture(scope="module", autouse=True)
def quick_fits():
    """KerasTuner's Gaussian process is fitted once, not 21 times, and climbed in a few steps.

    What its proposals are worth is KerasTuner's affair; here they have to come again after a kill.
    """
    make = bayesian.BayesianOptimizationOracle._make_gpr
    climb = functools.partial(scipy.optimize.minimize, options={"maxiter": 1})

    def fitted_once(self):
        made = make(self)
        made.n_restarts_optimizer = 0
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bayesian.BayesianOptimizationOracle, "_make_gpr", fitted_once)
        optimize = types.SimpleNamespace(minimize=climb)
        patch.setattr(bayesian, "scipy", types.SimpleNamespace(optimize=optimize))
        yield
