"""Logistic regression: the first-order weights alone."""

from collections.abc import Mapping
from typing import Any

import keras

from pep_tf.models.base import CTRModel, first_order_weights
from pep_tf.models.registry import register


@register("linear")
@keras.saving.register_keras_serializable(package="pep_tf")
class Linear(CTRModel):
    """`logit = sum_f w_f + bias`.

    Args:
        fields: `{field name: vocabulary size}`, in column order.
        first_order: layer from rows [B, F] to weights [B, F, 1]; by default one weight per feature.

    Example:
        >>> Linear({"gender": 2, "age": 7})(np.array([[1, 3]])).shape
        TensorShape([1, 1])
    """

    def __init__(
        self,
        fields: Mapping[str, int],
        first_order: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        first_order = first_order or first_order_weights(fields, kwargs.get("dtype"))
        super().__init__(fields, None, first_order, **kwargs)

    def interact(self, embedded: Any, first_order: Any = None, training: Any = None) -> Any:
        return self.linear_term(first_order)
