"""Factorization machine."""

from collections.abc import Mapping
from typing import Any

import keras

from pep_tf.layers import FactorizationMachine
from pep_tf.models.base import CTRModel, first_order_weights
from pep_tf.models.registry import register


@register("fm")
@keras.saving.register_keras_serializable(package="pep_tf")
class FM(CTRModel):
    """`logit = sum_f w_f + bias + sum_{f < g} <e_f, e_g>`.

    Args:
        fields: `{field name: vocabulary size}`, in column order.
        embedding: layer from rows [B, F] to embeddings [B, F, d].
        first_order: layer from rows [B, F] to weights [B, F, 1]; by default one weight per feature.

    Example:
        >>> fields = {"gender": 2, "age": 7}
        >>> FM(fields, keras.layers.Embedding(9, 4))(np.array([[1, 3]])).shape
        TensorShape([1, 1])

    Reference:
        Rendle, "Factorization Machines", ICDM 2010.
    """

    def __init__(
        self,
        fields: Mapping[str, int],
        embedding: keras.layers.Layer,
        first_order: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        first_order = first_order or first_order_weights(fields, kwargs.get("dtype"))
        super().__init__(fields, embedding, first_order, **kwargs)
        self.pairs = FactorizationMachine(dtype=self.dtype_policy, name="pairs")

    def build_interaction(self, embedded_shape: Any) -> None:
        self.pairs.build(embedded_shape)

    def interact(self, embedded: Any, first_order: Any = None, training: Any = None) -> Any:
        return self.linear_term(first_order) + self.pairs(embedded)
