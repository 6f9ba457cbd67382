"""Batch normalisation with the conventions of the paper's code."""

from typing import Any

import keras
from keras import ops

from pep_tf.distributed.share import share


@keras.saving.register_keras_serializable(package="pep_tf")
class BatchNorm(keras.layers.Layer):
    """Normalises each column by its batch, and by running statistics in inference.

    `keras.layers.BatchNormalization` differs from PyTorch's BatchNorm1d, with which the paper's
    numbers were made, in its defaults (momentum 0.99, epsilon 1e-3) and in that its running variance
    is the biased one. Here the running variance is unbiased: `sum (x - mean)^2 / (B - 1)`.

    Args:
        momentum: share of the running statistics that a step keeps.
        epsilon: added to the variance.

    Call arguments:
        inputs: float [B, C].
        training: whether to use, and to learn from, the batch's own statistics.

    Returns:
        float [B, C].
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= momentum <= 1:
            raise ValueError(f"`momentum` must be between 0 and 1. Received: {momentum}")
        self.momentum, self.epsilon = float(momentum), float(epsilon)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (input_shape[-1],)

        def statistic(name: str, initial: str) -> Any:
            return self.add_weight(
                name=name, shape=shape, initializer=initial, trainable=False, autocast=False
            )

        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        self.moving_mean = statistic("moving_mean", "zeros")
        self.moving_variance = statistic("moving_variance", "ones")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        values = ops.cast(inputs, "float32")  # half-precision sums over a batch lose digits
        if training:
            return self.normalised(values, *_moments(values))
        return self._scaled(values, self.moving_mean, self.moving_variance)

    def normalised(self, values: Any, mean: Any, variance: Any, rows: Any) -> Any:
        """What training gives for values float32 [B, C] of a batch of so many rows with these moments."""
        self._learn(mean, variance, rows)
        return self._scaled(values, mean, variance)

    def _scaled(self, values: Any, mean: Any, variance: Any) -> Any:
        scale = ops.rsqrt(variance + self.epsilon) * ops.cast(self.gamma, "float32")
        shift = ops.cast(self.beta, "float32") - mean * scale
        return ops.cast(values * scale + shift, self.compute_dtype)

    def _learn(self, mean: Any, variance: Any, rows: Any) -> None:
        rows = ops.cast(rows, "float32")
        unbiased = variance * rows / ops.maximum(rows - 1.0, 1.0)
        for running, seen in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            running.assign(running * self.momentum + seen * (1.0 - self.momentum))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


def _moments(values: Any) -> tuple[Any, Any, Any]:
    """Mean and variance of the columns [B, C] of a batch, of all workers that share it, and its rows."""
    own = share()
    if own is None:
        mean, variance = ops.moments(values, axes=[0])
        return mean, variance, ops.shape(values)[0]
    return *own.moments(values), own.total
