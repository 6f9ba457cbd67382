"""DeepFM: a factorization machine and an MLP on the same embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pep_tf.distributed.share import between_messages
from pep_tf.layers import MLP
from pep_tf.models.base import flatten_fields
from pep_tf.models.fm import FM
from pep_tf.models.registry import register


@register("deepfm")
@keras.saving.register_keras_serializable(package="pep_tf")
class DeepFM(FM):
    """`logit = FM + MLP(flattened embeddings)`.

    Args:
        fields, embedding, first_order: as in `FM`.
        mlp_widths: units of the hidden layers. The paper: (100, 100) for MovieLens,
            (400, 400, 400) for Criteo and Avazu.
        dropout: rate after each hidden layer. The paper: 0.2.

    Example:
        >>> fields = {"gender": 2, "age": 7}
        >>> DeepFM(fields, keras.layers.Embedding(9, 4))(np.array([[1, 3]])).shape
        TensorShape([1, 1])

    Reference:
        Guo et al., "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction",
        IJCAI 2017.
    """

    def __init__(
        self,
        fields: Mapping[str, int],
        embedding: keras.layers.Layer,
        first_order: keras.layers.Layer | None = None,
        mlp_widths: Sequence[int] = (100, 100),
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(fields, embedding, first_order, **kwargs)
        self.deep = MLP(mlp_widths, dropout, dtype=self.dtype_policy, name="deep")

    def build_interaction(self, embedded_shape: Any) -> None:
        super().build_interaction(embedded_shape)
        self.deep.build((None, embedded_shape[1] * embedded_shape[2]))

    def interact(self, embedded: Any, first_order: Any = None, training: Any = None) -> Any:
        shallow = between_messages(super().interact)(embedded, first_order)
        return shallow + self.deep(flatten_fields(embedded), training=training)

    def get_config(self) -> dict[str, Any]:
        mlp = {"mlp_widths": self.deep.widths, "dropout": self.deep.dropout}
        return {**super().get_config(), **mlp}
