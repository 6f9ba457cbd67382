"""DCN V2: a cross network and an MLP on the same embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pep_tf.distributed.share import between_messages
from pep_tf.layers import MLP, Cross
from pep_tf.models.base import CTRModel, flatten_fields
from pep_tf.models.registry import register


@register("dcn")
@keras.saving.register_keras_serializable(package="pep_tf")
class DCN(CTRModel):
    """`logit = w Cross(flattened e) + MLP(flattened e)`; there is no first-order term.

    This is the paper's parallel structure: one linear map of both outputs is the sum of one of each.

    Args:
        fields, embedding, mlp_widths, dropout: as in `DeepFM`.
        cross_layers: number of cross layers, see `Cross`.
        cross_rank: rank of their matrices. None for full ones: of (F d)^2 numbers each, which can be
            more than a pruned table keeps.

    Example:
        >>> fields = {"gender": 2, "age": 7}
        >>> DCN(fields, keras.layers.Embedding(9, 4))(np.array([[1, 3]])).shape
        TensorShape([1, 1])

    Reference:
        Wang et al., "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale
        Learning to Rank Systems", WWW 2021.
    """

    def __init__(
        self,
        fields: Mapping[str, int],
        embedding: keras.layers.Layer,
        cross_layers: int = 3,
        cross_rank: int | None = None,
        mlp_widths: Sequence[int] = (100, 100),
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(fields, embedding, None, **kwargs)
        policy = self.dtype_policy
        self.cross = Cross(cross_layers, cross_rank, dtype=policy, name="cross")
        self.cross_logit = keras.layers.Dense(1, dtype=policy, name="cross_logit")
        self.deep = MLP(mlp_widths, dropout, dtype=policy, name="deep")

    def build_interaction(self, embedded_shape: Any) -> None:
        flat = (None, embedded_shape[1] * embedded_shape[2])
        for layer in (self.cross, self.cross_logit, self.deep):
            layer.build(flat)

    def interact(self, embedded: Any, first_order: Any = None, training: Any = None) -> Any:
        flat = flatten_fields(embedded)
        crossed = between_messages(lambda flat: self.cross_logit(self.cross(flat)))
        return crossed(flat) + self.deep(flat, training=training)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        cross = {"cross_layers": self.cross.layers, "cross_rank": self.cross.rank}
        return {**config, **cross, "mlp_widths": self.deep.widths, "dropout": self.deep.dropout}
