"""Keras's own layers on a share of a batch: they draw for its rows, and normalise by the whole batch."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from pep_tf.distributed.share import Share
from pep_tf.errors import RunError
from pep_tf.layers.dropout import Dropout

_APART = 1_000_003  # between the seeds of two workers


@contextlib.contextmanager
def of_a_share(model: keras.Model, share: Share) -> Iterator[None]:
    """Has layers of Keras's that are called inside do for a share of a batch what they do for a batch.

    What they draw goes by worker: other rows get other numbers, but not those that one worker would
    draw. Their generators stay the same on all workers. `BatchNormalization` sums its moments.
    """
    with contextlib.ExitStack() as held:
        norm = keras.layers.BatchNormalization
        held.enter_context(_replaced(norm, "_moments", functools.partialmethod(_moments, share)))
        for layer in model._flatten_layers():
            for generator in _generators(layer):
                own = functools.partial(_of_rank, generator, share.group.rank)
                held.enter_context(_replaced(generator, "next", own))
        yield


@contextlib.contextmanager
def _replaced(of: Any, name: str, value: Any) -> Iterator[None]:
    before = vars(of).get(name)
    setattr(of, name, value)
    try:
        yield
    finally:
        delattr(of, name) if before is None else setattr(of, name, before)


def refusal(layer: keras.layers.Layer) -> str | None:
    """Why a layer would not do on a share of a batch what it does on a batch; None where it would."""
    if _generators(layer) and not type(layer).__module__.startswith("keras."):
        return "how it draws random numbers for a share of a batch is unknown: take one of Keras's layers"
    return None


def _generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    return [] if isinstance(layer, Dropout) else layer._seed_generators


def _of_rank(generator: keras.random.SeedGenerator, rank: int, ordered: bool = True) -> tf.Tensor:
    seed = type(generator).next(generator, ordered)
    return seed + tf.constant([rank * _APART, 0], seed.dtype)


def _moments(
    layer: keras.layers.BatchNormalization, share: Share, inputs: tf.Tensor, mask: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    if mask is not None:
        raise RunError(
            f"The layer {layer.name!r} normalises with a mask, which is not for several workers."
        )
    return share.moments(inputs, layer._reduction_axes)
