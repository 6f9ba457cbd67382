"""AutoInt's interaction of fields by self-attention."""

from typing import Any

import keras
from keras import ops

from pep_tf.numbers import real, whole


@keras.saving.register_keras_serializable(package="pep_tf")
class FieldAttention(keras.layers.Layer):
    """Self-attention over the fields: `relu(A(...A(P e)) + R e)`.

    P and R are linear maps from d to `width`, each A is a multi-head self-attention over the F
    fields, scaled by `1 / sqrt(width / heads)`. The rectifier comes once, after the residual R.

    Args:
        width: width of the attention. The paper: 64.
        heads: attention heads; must divide `width`. The paper: 2.
        layers: number of A. The paper: 3.
        dropout: rate on the attention weights. The paper: 0.4 for MovieLens, else 0.

    Call arguments:
        embedded: float [B, F, d].
        training: whether to drop attention weights.

    Returns:
        float [B, F, width].

    Raises:
        ValueError: `heads` that do not divide `width`, a count that is no whole number from 1, or a
            rate outside [0, 1].

    Reference:
        Song et al., "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural
        Networks", CIKM 2019.
    """

    def __init__(
        self, width: int = 64, heads: int = 2, layers: int = 3, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.width, self.heads = whole("width", width, least=1), whole("heads", heads, least=1)
        self.layers = whole("layers", layers, least=1)
        self.dropout = real("dropout", dropout, least=0, most=1)
        if self.width % self.heads:
            raise ValueError(
                f"`heads` must divide `width`. Received: width={self.width}, heads={self.heads}"
            )
        policy = self.dtype_policy  # which may differ from the global one
        self.project = keras.layers.Dense(self.width, dtype=policy, name="project")
        self.residual = keras.layers.Dense(self.width, dtype=policy, name="residual")
        self.attentions = [
            keras.layers.MultiHeadAttention(
                self.heads,
                self.width // self.heads,
                dropout=self.dropout,
                dtype=policy,
                name=f"attention_{index}",
            )
            for index in range(self.layers)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.project.build(input_shape)
        self.residual.build(input_shape)
        inner = (*input_shape[:-1], self.width)
        for attention in self.attentions:
            attention.build(inner, inner)
        self.built = True

    def call(self, embedded: Any, training: bool | None = None) -> Any:
        attended = self.project(embedded)
        for attention in self.attentions:
            attended = attention(attended, attended, training=training)
        return ops.relu(attended + self.residual(embedded))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "heads": self.heads,
            "layers": self.layers,
            "dropout": self.dropout,
        }
