"""AutoInt: self-attention over the fields, with an MLP beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pep_tf.distributed.share import between_messages
from pep_tf.layers import MLP, FieldAttention
from pep_tf.models.base import CTRModel, flatten_fields
from pep_tf.models.registry import register


@register("autoint")
@keras.saving.register_keras_serializable(package="pep_tf")
class AutoInt(CTRModel):
    """`logit = W flatten(attention(e)) + MLP(flattened e)`; there is no first-order term.

    Args:
        fields: `{field name: vocabulary size}`, in column order.
        embedding: layer from rows [B, F] to embeddings [B, F, d].
        mlp_widths, dropout: as in `DeepFM`.
        attention: arguments of `FieldAttention` that differ from its defaults, which are the
            paper's; for MovieLens the paper also sets `{"dropout": 0.4}`.

    Example:
        >>> fields = {"gender": 2, "age": 7}
        >>> AutoInt(fields, keras.layers.Embedding(9, 4))(np.array([[1, 3]])).shape
        TensorShape([1, 1])

    Reference:
        Song et al., "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural
        Networks", CIKM 2019.
    """

    def __init__(
        self,
        fields: Mapping[str, int],
        embedding: keras.layers.Layer,
        mlp_widths: Sequence[int] = (100, 100),
        dropout: float = 0.2,
        attention: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fields, embedding, None, **kwargs)
        self.attention_config = dict(attention or {})
        policy = self.dtype_policy
        self.attention = FieldAttention(**self.attention_config, dtype=policy, name="attention")
        self.attention_logit = keras.layers.Dense(1, dtype=policy, name="attention_logit")
        self.deep = MLP(mlp_widths, dropout, dtype=policy, name="deep")

    def build_interaction(self, embedded_shape: Any) -> None:
        _, num_fields, dim = embedded_shape
        self.attention.build(embedded_shape)
        self.attention_logit.build((None, num_fields * self.attention.width))
        self.deep.build((None, num_fields * dim))

    def interact(self, embedded: Any, first_order: Any = None, training: Any = None) -> Any:
        return between_messages(self._attended)(embedded, training) + self.deep(
            flatten_fields(embedded), training=training
        )

    def _attended(self, embedded: Any, training: Any) -> Any:
        attended = self.attention(embedded, training=training)
        return self.attention_logit(flatten_fields(attended))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        mlp = {"mlp_widths": self.deep.widths, "dropout": self.deep.dropout}
        return {**config, **mlp, "attention": self.attention_config}
