"""What all tests share."""

import gc

import hypothesis
import keras
import pytest
import tensorflow as tf

# Python looks for garbage among millions of objects that libraries have made: rarely, and not in those of imports.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

# An iterator of Keras's `fit` that goes away may wait for tf.data's tuning of parallelism as long as a model took
# to compile: see `pep_tf/data/prefetch.py`.
_untuned, _iterator = tf.data.Options(), tf.data.Dataset.__iter__
_untuned.autotune.enabled = False
tf.data.Dataset.__iter__ = lambda dataset: _iterator(dataset.with_options(_untuned))

# What tests compare was computed in float32, which a GPU's matrix products would round to TF32.
tf.config.experimental.enable_tensor_float_32_execution(False)

# How long an example takes is that of the machine's other work, too.
hypothesis.settings.register_profile("no_deadline", deadline=None)
hypothesis.settings.load_profile("no_deadline")


@pytest.fixture
def dtype_policy():
    """Sets Keras's global dtype policy by name, and sets it back after the test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)
