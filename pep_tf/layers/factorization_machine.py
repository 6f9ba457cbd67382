"""The second-order term of a factorization machine."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pep_tf")
class FactorizationMachine(keras.layers.Layer):
    """Sum of the inner products of all pairs of embeddings.

    Computed as `0.5 * sum_d[(sum_f e_fd)^2 - sum_f e_fd^2]`, in O(F d).

    Call arguments:
        embedded: float [B, F, d], one embedding per field.

    Returns:
        float [B, 1].

    Raises:
        ValueError: an input that is not of rank 3.

    Example:
        >>> FactorizationMachine()(np.array([[[1.0, 2.0], [3.0, 4.0]]])).numpy()  # 1*3 + 2*4
        array([[11.]], dtype=float32)

    Reference:
        Rendle, "Factorization Machines", ICDM 2010, lemma 3.1.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 3:
            raise ValueError(f"`embedded` must have shape [B, F, d]. Received: shape={input_shape}")
        self.built = True

    def call(self, embedded: Any) -> Any:
        square_of_sum = ops.square(ops.sum(embedded, axis=1))
        sum_of_squares = ops.sum(ops.square(embedded), axis=1)
        return 0.5 * ops.sum(square_of_sum - sum_of_squares, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], 1)
