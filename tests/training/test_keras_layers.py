"""Keras's own layers on a worker's share of a batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.distributed import Group
from pep_tf.distributed.share import Share
from pep_tf.errors import RunError
from pep_tf.training.keras_layers import of_a_share
from pep_tf.training.replicas import refuse_what_cannot_be_shared


class Noisy(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(1)


def model_of(*layers):
    return keras.Sequential([keras.Input((64,)), *layers])


def drawn(rank, layer):
    model = model_of(layer)
    with of_a_share(model, Share.of(Group(2, rank), tf.constant(4))):
        found = model(np.ones((2, 64), np.float32), training=True).numpy()
    return found, layer.seed_generator.state.numpy()


@pytest.mark.parametrize(
    "kind",
    [
        lambda: keras.layers.Dropout(0.5, seed=3),
        lambda: keras.layers.GaussianNoise(0.5, seed=3),
    ],
)
def test_what_is_drawn_goes_by_rank(kind):
    (first, state), (other, like) = drawn(0, kind()), drawn(1, kind())
    assert (first != other).any()
    np.testing.assert_array_equal(state, like)  # the workers' weights stay the same bits
    layer = kind()
    alone = layer(np.ones((2, 64), np.float32), training=True)
    np.testing.assert_array_equal(first, alone)
    assert "next" not in vars(layer.seed_generator)


def test_what_is_refused():
    group = Group(2, 0)
    refuse_what_cannot_be_shared(
        model_of(keras.layers.Dropout(0.5), keras.layers.BatchNormalization()), 2, group
    )
    with pytest.raises(RunError, match="Noisy.* is not for several workers: how it draws"):
        refuse_what_cannot_be_shared(model_of(Noisy()), 2, group)
    with pytest.raises(RunError, match="1 rows in a batch, 2 workers"):
        refuse_what_cannot_be_shared(model_of(), 1, group)


def test_a_mask_is_refused():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3, 4))
    with (
        of_a_share(model_of(), Share.of(Group(2, 0), tf.constant(4))),
        pytest.raises(RunError, match="normalises with a mask"),
    ):
        layer(np.ones((2, 3, 4)), training=True, mask=np.ones((2, 3), bool))
