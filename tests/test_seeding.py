import random

import keras
import numpy as np
import pytest

from pep_tf.models import build_model
from pep_tf.seeding import seeded
from tests import tiny


def drawn() -> list[float]:
    """The next numbers of a user's own generators."""
    return [random.random(), *np.random.random(2)]  # noqa: NPY002 - the global one is meant


def after(work) -> list[float]:
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    work()
    return drawn()


def test_layers_start_as_kerass_own_seed_says():
    def start() -> keras.layers.Layer:
        layer = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5)])
        layer.build((None, 3))
        return layer

    keras.utils.set_random_seed(5)
    expected = start()
    with seeded(5):
        found = start()
    for one, other in zip(expected.variables, found.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    inputs = np.ones((8, 3), np.float32)
    np.testing.assert_array_equal(expected(inputs, training=True), found(inputs, training=True))


def test_other_generators_go_on_undisturbed():
    def build() -> None:
        build_model("deepfm", tiny.FIELDS, embedding_dim=2, seed=9)

    def fail() -> None:
        with pytest.raises(ValueError, match="off"), seeded(9):
            raise ValueError("off")

    untouched = after(lambda: None)
    assert after(build) == untouched
    assert after(fail) == untouched
