"""The cross network of DCN V2: products of features, one factor more a layer."""

from typing import Any

import keras

from pep_tf.numbers import whole


@keras.saving.register_keras_serializable(package="pep_tf")
class Cross(keras.layers.Layer):
    """Cross layers on one another, `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`; `*` is by entries.

    x_0 are the inputs. After L layers an output is a sum of products of up to L + 1 inputs.

    Args:
        layers: number L of cross layers.
        rank: None for a full [C, C] matrix W in each layer, or the rank r of a product of [C, r]
            and [r, C]. C / 4 is a good start where C is in the hundreds.

    Call arguments:
        inputs: float [B, C].

    Returns:
        float [B, C].

    Raises:
        ValueError: `layers` or `rank` that is no whole number from 1, or inputs that are not of rank 2.

    Example:
        >>> Cross(layers=2)(np.array([[1.0, 2.0, 3.0]])).shape
        TensorShape([1, 3])

    Reference:
        Wang et al., "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale
        Learning to Rank Systems", WWW 2021, equations 1 and 2.
    """

    def __init__(self, layers: int = 3, rank: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = whole("layers", layers, least=1)
        self.rank = None if rank is None else whole("rank", rank, least=1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 2:
            raise ValueError(f"`inputs` must have shape [B, C]. Received: shape={input_shape}")
        batch, width = input_shape
        inner = width if self.rank is None else self.rank
        self.project = [self._dense(f"project_{i}", inner, use_bias=False) for i in self._low_rank]
        self.cross = [self._dense(f"cross_{i}", width) for i in range(self.layers)]
        for layer in self.project:
            layer.build((batch, width))
        for layer in self.cross:
            layer.build((batch, inner))
        self.built = True

    @property
    def _low_rank(self) -> range:
        """The cross layers whose matrix is a product."""
        return range(0 if self.rank is None else self.layers)

    def _dense(self, name: str, units: int | None, **kwargs: Any) -> keras.layers.Dense:
        # The policy may differ from the global one.
        return keras.layers.Dense(units, dtype=self.dtype_policy, name=name, **kwargs)

    def call(self, inputs: Any) -> Any:
        crossed = inputs
        for index, cross in enumerate(self.cross):
            narrow = self.project[index](crossed) if self.project else crossed
            crossed = inputs * cross(narrow) + crossed
        return crossed

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.layers, "rank": self.rank}
