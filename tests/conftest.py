"""What all tests share."""

import keras
import pytest


@pytest.fixture
def dtype_policy():
    """Sets Keras's global dtype policy by name, and sets it back after the test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)
