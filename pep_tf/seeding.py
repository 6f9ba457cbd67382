"""Random weights by a seed, without a change to what else draws random numbers."""

import contextlib
import random
from collections.abc import Iterator

import keras
import numpy as np


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Layers that are created and built while it is open start as `seed` says.

    Keras draws the seed of an initializer or of a dropout from Python's `random`, which
    `keras.utils.set_random_seed` therefore seeds, and NumPy with it. Both are given back as they
    were found; Keras's and TensorFlow's own seeds stay set.

    Args:
        seed: as `keras.utils.set_random_seed` takes it.

    Example:
        >>> with seeded(1):
        ...     dense = keras.layers.Dense(2)
        ...     dense.build((None, 3))
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one
    try:
        keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
