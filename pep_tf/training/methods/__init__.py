"""Ways to choose what a table keeps, by name: the command and `pep_tf.prune` take it from here.

A method is one file, whose function yields tickets as `prune` does, and one line.
"""

import functools
from collections.abc import Callable
from typing import TypeVar

from pep_tf.registry import registering
from pep_tf.training.methods.darts import darts
from pep_tf.training.methods.magnitude import magnitude
from pep_tf.training.methods.prefix import prefix
from pep_tf.training.methods.random_masks import random_masks
from pep_tf.training.prune import PruneResult, prune
from pep_tf.training.settings import FITTING_ALONE, PRUNING_ALONE

_Method = TypeVar("_Method", bound=Callable[..., PruneResult])

METHODS: dict[str, Callable[..., PruneResult]] = {
    "pep": prune,
    "magnitude": magnitude,
    "magnitude_rounds": functools.partial(magnitude, rounds=True),
    "prefix": prefix,
    "darts": darts,
    "random": random_masks,
}
PEP = "pep"


def register(name: str) -> Callable[[_Method], _Method]:
    """Decorator for a function as `pep_tf.training.prune`: `pep_tf.prune` and the command know it by its name.

    Args:
        name: of the method, after `--method=`.

    Raises:
        ValueError: the name of another method.
    """
    return registering(name, "method", METHODS)


def idle_settings(method: str) -> tuple[str, ...]:
    """Names of the `Settings` that have no effect on what a method does before tickets are cut."""
    return FITTING_ALONE if method == PEP else PRUNING_ALONE
