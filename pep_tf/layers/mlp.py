"""The deep part of DeepFM, DCN and AutoInt."""

import functools
from collections.abc import Sequence
from typing import Any

import keras

from pep_tf.distributed.share import Share, between_messages, share, summed
from pep_tf.layers.batch_norm import BatchNorm
from pep_tf.layers.dropout import Dropout
from pep_tf.numbers import real, wholes


@keras.saving.register_keras_serializable(package="pep_tf")
class MLP(keras.layers.Layer):
    """Dense, BatchNorm, ReLU, Dropout for each width, then Dense to one logit.

    Args:
        widths: units of the hidden layers. The paper: (100, 100) for MovieLens, (400, 400, 400)
            for Criteo and Avazu.
        dropout: rate after each hidden layer. The paper: 0.2.

    Call arguments:
        inputs: float [B, C].
        training: whether to drop units and to use batch statistics.

    Returns:
        float [B, 1].

    Raises:
        ValueError: widths that are no list of whole numbers from 1, or a rate outside [0, 1].
    """

    def __init__(
        self, widths: Sequence[int] = (100, 100), dropout: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.widths = wholes("widths", widths, least=1)
        self.dropout = real("dropout", dropout, least=0, most=1)
        policy = self.dtype_policy  # which may differ from the global one
        self.stack: list[keras.layers.Layer] = []
        for index, width in enumerate(self.widths):
            self.stack += [
                keras.layers.Dense(width, dtype=policy, name=f"dense_{index}"),
                BatchNorm(dtype=policy, name=f"batch_norm_{index}"),
                keras.layers.ReLU(dtype=policy, name=f"relu_{index}"),
                Dropout(self.dropout, dtype=policy, name=f"dropout_{index}"),
            ]
        self.stack.append(keras.layers.Dense(1, dtype=policy, name="logit"))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for layer in self.stack:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        own = share()
        if own is not None and training:
            return self._on_a_share(inputs, own)
        for layer in self.stack:
            takes_training = isinstance(layer, BatchNorm | Dropout)
            inputs = layer(inputs, training=training) if takes_training else layer(inputs)
        return inputs

    def _on_a_share(self, values: Any, own: Share) -> Any:
        """The same; all that lies between two sums over the workers is one program on a GPU."""
        before: list[Any] = []
        moments: tuple[Any, ...] = ()
        for i in range(0, len(self.stack), 4):
            dense, *after = self.stack[i : i + 4]
            part = functools.partial(_part, before, dense, not after, own)
            values, *total = between_messages(part)(values, *moments)
            if after:
                moments = own.moments(values, total=total[0])
            before = after
        return values

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "widths": self.widths, "dropout": self.dropout}


def _part(
    before: Sequence[Any], dense: Any, last: bool, own: Share, values: Any, *moments: Any
) -> list[Any]:
    """From the moments of what one dense layer gave to the sum of what the next one gives."""
    if before:
        norm, relu, dropout = before
        values = dropout(relu(norm.normalised(values, *moments, own.total)), training=True)
    values = dense(values)
    if last:
        return [values]
    values = keras.ops.cast(values, "float32")
    return [values, summed(values)]
