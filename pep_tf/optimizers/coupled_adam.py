"""Adam with coupled L2 over whole variables: the update with which the paper's numbers were made."""

import math
import numbers
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_THRESHOLDS = "thresholds"


@keras.saving.register_keras_serializable(package="pep_tf")
class CoupledAdam(keras.optimizers.Optimizer):
    """Adam whose gradient includes the L2 term, with PyTorch's conventions.

    At step t, for every parameter p that has a gradient:

        g = dL/dp + l2 * (p - target)
        m = beta_1 * m + (1 - beta_1) * g
        n = beta_2 * n + (1 - beta_2) * g^2
        p = p - learning_rate * (m / (1 - beta_1^t)) / (sqrt(n / (1 - beta_2^t)) + epsilon)

    `target` is 0 but for thresholds. Because the L2 term passes through Adam's normalisation, it
    moves thresholds by about one learning rate a step however small their gradient is: this is what
    prunes. Keras's own `weight_decay` is decoupled and prunes nothing.

    Repeated ids of a lookup's gradient are summed before they are squared. The cost of a step is
    that of the whole table, O(N d).

    Args:
        learning_rate: a number, or a Keras schedule.
        l2: weight of the coupled L2 term. The paper's runs: 1e-5.
        beta_1, beta_2, epsilon: as in Adam.
        threshold_learning_rate: learning rate of thresholds; None takes `learning_rate`.
        threshold_l2: L2 of thresholds; None takes `l2`.
        threshold_target: the value that L2 pulls thresholds to. At 0, the published method, g(s)
            stops near 0.5 and so does pruning; above 0 thresholds keep rising.

    Raises:
        ValueError: a negative rate, or a beta outside [0, 1).

    Reference:
        Kingma and Ba, "Adam", ICLR 2015; the coupled form is that of `torch.optim.Adam`.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        l2: float = 1e-5,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        threshold_learning_rate: float | None = None,
        threshold_l2: float | None = None,
        threshold_target: float = 0.0,
        name: str = "coupled_adam",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        for key, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ValueError(f"`{key}` must be in [0, 1). Received: {beta}")
        for key, value in {
            "learning_rate": learning_rate,  # perhaps a schedule
            "l2": l2,
            "epsilon": epsilon,
            "threshold_learning_rate": threshold_learning_rate,
            "threshold_l2": threshold_l2,
        }.items():
            if isinstance(value, numbers.Real) and value < 0:
                raise ValueError(f"`{key}` must not be negative. Received: {value}")
        self.l2, self.epsilon = float(l2), float(epsilon)
        self.beta_1, self.beta_2 = float(beta_1), float(beta_2)
        self.threshold_learning_rate = threshold_learning_rate
        self.threshold_l2 = threshold_l2
        self.threshold_target = float(threshold_target)

    def attach(self, model: keras.Model) -> None:
        """Prepares to train a built model; optional here, needed by `RowwiseAdam`."""
        self.build(model.trainable_variables)

    def settle(self) -> None:
        """Ends a training: weights hold their current values, which is always so here."""

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._is_threshold = [variable.name == _THRESHOLDS for variable in variables]
        self._moments = {
            self._get_variable_index(variable): self._moments_of(variable)
            for variable in variables
            if self._updated_whole(variable)
        }

    def _moments_of(self, variable: keras.Variable) -> tuple[keras.Variable, keras.Variable]:
        """New m and n of a variable, on its device."""
        with tf.device(variable._value.device):
            (m,), (n,) = self.add_optimizer_variables([variable], ["m", "n"])
        return m, n

    def _updated_whole(self, variable: keras.Variable) -> bool:
        """Whether every entry of a variable is updated at each step."""
        return True

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable; `gradient` may be dense or `tf.IndexedSlices` with repeated ids."""
        index = self._get_variable_index(variable)
        rate, l2, target = self._group(self._is_threshold[index], learning_rate)
        # Densifying sums the repeated ids.
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        gradient += l2 * (variable - target)
        m, n = self._moments[index]
        self._apply(variable, m._value, n._value, gradient, rate)

    def _group(self, is_threshold: bool, learning_rate: Any) -> tuple[Any, float, float]:
        """Learning rate, L2 and L2's target of a variable."""
        if not is_threshold:
            return learning_rate, self.l2, 0.0
        rate, l2 = self.threshold_learning_rate, self.threshold_l2
        return (
            learning_rate if rate is None else rate,
            self.l2 if l2 is None else l2,
            self.threshold_target,
        )

    def _step_size(self, rate: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Factor of `m / (sqrt(n) + floor)` at the step under way, and that floor; float32.

        `rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)` and `epsilon * sqrt(1 - beta_2^t)`: bias
        correction, in float64.
        """
        step = tf.cast(self.iterations._value + 1, tf.float64)
        root = tf.sqrt(1 - tf.pow(tf.constant(self.beta_2, tf.float64), step))
        scale = root / (1 - tf.pow(tf.constant(self.beta_1, tf.float64), step))
        return (
            tf.cast(tf.cast(rate, tf.float64) * scale, tf.float32),
            tf.cast(self.epsilon * root, tf.float32),
        )

    def _apply(self, var: Any, m: Any, n: Any, gradient: Any, rate: Any) -> None:
        """One step of Adam, by TensorFlow's fused kernel.

        The kernel computes `1 - beta_2` in float32, where it is off by 5e-5: it makes n too large by
        `excess`^2, which the step size and its floor, scaled alike, take back.
        """
        excess = math.sqrt(float(1 - np.float32(self.beta_2)) / (1 - self.beta_2))
        size, floor = self._step_size(rate)
        tf.raw_ops.ResourceApplyAdam(
            var=var.handle,
            m=m.handle,
            v=n.handle,
            beta1_power=tf.zeros((), var.dtype),  # bias correction is in `lr` and `epsilon`
            beta2_power=tf.zeros((), var.dtype),
            lr=tf.cast(size * excess, var.dtype),
            beta1=tf.constant(self.beta_1, var.dtype),
            beta2=tf.constant(self.beta_2, var.dtype),
            epsilon=tf.cast(floor * excess, var.dtype),
            grad=gradient,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "l2": self.l2,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "threshold_learning_rate": self.threshold_learning_rate,
            "threshold_l2": self.threshold_l2,
            "threshold_target": self.threshold_target,
        }
