"""Adam with coupled L2 over whole variables: the update with which the paper's numbers were made."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pep_tf.numbers import real
from pep_tf.optimizers.catch_up_stages import TINY
from pep_tf.tables import Found, Pull, RowVariable


class WholeTable:
    """Keeps a table whose rows are all updated at each step: none is ever behind."""

    by_row = False

    def behind(self) -> bool:
        return False

    def find(self, rows: tf.Tensor, distinct: bool) -> Found:
        raise AssertionError("The rows of such a table are read as they are stored.")

    def current(self, variables: Sequence[RowVariable]) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(variable.raw) for variable in variables]

    def flush(self) -> None: ...

    def changed(self) -> None: ...

    def loaded(self) -> None: ...

    def release(self) -> None: ...


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
            stops near 0.5 and so does pruning; above 0 thresholds keep rising. None takes the
            layer's own (`threshold_target` of `PEPEmbedding`), as does None for the two above, where
            the layer has one.

    Raises:
        ValueError: something that is no number, a negative rate, or a beta outside [0, 1).

    Example:
        >>> model = build_model("fm", {"user": 100, "item": 1000})
        >>> model.compile(CoupledAdam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))

    Reference:
        Kingma and Ba, "Adam", ICLR 2015; the coupled form is that of `torch.optim.Adam`.
    """

    keeps_tables = True  # embeddings of a model that is compiled with it have it built in time

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        l2: float = 1e-5,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        threshold_learning_rate: float | None = None,
        threshold_l2: float | None = None,
        threshold_target: float | None = None,
        name: str = "coupled_adam",
        **kwargs: Any,
    ) -> None:
        if isinstance(learning_rate, numbers.Real | str):  # no schedule
            learning_rate = real("learning_rate", learning_rate, least=0)
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.l2, self.epsilon = real("l2", l2, least=0), real("epsilon", epsilon, least=0)
        self.beta_1, self.beta_2 = real("beta_1", beta_1), real("beta_2", beta_2)
        for key in ("beta_1", "beta_2"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"`{key}` must be in [0, 1). Received: {getattr(self, key)}")
        self.threshold_learning_rate, self.threshold_l2, self.threshold_target = (
            None if value is None else real(key, value, least=least)
            for key, value, least in (
                ("threshold_learning_rate", threshold_learning_rate, 0),
                ("threshold_l2", threshold_l2, 0),
                ("threshold_target", threshold_target, None),
            )
        )

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        self._keep_tables(variables)
        super().build(variables)
        self._pulls: list[Pull | None] = [getattr(v, "pull", None) for v in variables]
        self._decays = [getattr(v, "decays", True) for v in variables]  # steps of LSQ do not
        for pull in self._pulls:
            if pull is not None:
                pull.switch(False)  # the L2 term takes its place
        whole = [self._updated_whole(variable) for variable in variables]
        self._m, self._n = (
            [
                self._moment(v, name) if own else None
                for v, own in zip(variables, whole, strict=True)
            ]
            for name in ("m", "n")
        )

    def _keep_tables(self, variables: list[keras.Variable]) -> None:
        """Takes charge of tables, whose previous optimizer first brings their rows up to date."""
        for table in {v.row_table: None for v in variables if isinstance(v, RowVariable)}:
            table.hand_over(WholeTable())

    def _moment(self, variable: keras.Variable, name: str) -> keras.Variable:
        with tf.device(variable._value.device):
            moment = self.add_variable_from_reference(variable, name)
        moment._row_table = getattr(variable, "_row_table", None)  # whose rows it has
        return moment

    def _updated_whole(self, variable: keras.Variable) -> bool:
        """Whether every entry of a variable is updated at each step, by `update_step`."""
        return True

    def _var_key(self, variable: Any) -> Any:
        return super()._var_key(variable.raw if isinstance(variable, RowVariable) else variable)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One step for all variables that have a gradient; see `keras.optimizers.Optimizer`."""
        variables = None if trainable_variables is None else list(trainable_variables)
        gradients = list(grads)
        if variables is not None and not self.built:
            if tf.executing_eagerly():
                # They were computed when the layers did not know of an optimizer with an L2 term.
                gradients = list(map(_without_pull, gradients, variables))
            self.build(variables)
        if self.built:
            gradients = self._summed(gradients, variables or self._trainable_variables)
        super().apply(gradients, variables)

    def _summed(self, gradients: list[Any], variables: list[keras.Variable]) -> list[Any]:
        """Gradients with each id once, so that clipping and scaling apply to the sums."""
        return [_dense(gradient) for gradient in gradients]

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable; `gradient` may be dense or `tf.IndexedSlices` with repeated ids."""
        index = self._get_variable_index(variable)
        rate, l2, target = self._constants(self._pulls[index], learning_rate)
        gradient = tf.cast(_dense(gradient), variable.dtype)
        if self._decays[index]:
            gradient += l2 * (variable - target)
        m, n = self._m[index], self._n[index]
        self._apply(variable, m._value, n._value, gradient, rate)

    def has_threshold_rate(self, pull: Pull) -> bool:
        """Whether thresholds have a learning rate of their own, which no schedule changes."""
        return (self.threshold_learning_rate, pull.learning_rate) != (None, None)

    def _constants(self, pull: Pull | None, learning_rate: Any) -> tuple[Any, float, float]:
        """Learning rate, L2 and L2's target of a variable, which is a threshold if it has a pull.

        What the optimizer was given for thresholds takes precedence over their layer's own.
        """
        if pull is None:
            return learning_rate, self.l2, 0.0
        pull.fix()
        rate = _first(self.threshold_learning_rate, pull.learning_rate, learning_rate)
        l2 = _first(self.threshold_l2, pull.strength, self.l2)
        return rate, l2, _first(self.threshold_target, pull.target)

    def _step_size(self, rate: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Factor of `m / (sqrt(n) + floor)` at the step under way, and that floor; float32.

        `rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)` and `epsilon * sqrt(1 - beta_2^t)`: bias
        correction, in float64.
        """
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, tf.float64)
        root = tf.sqrt(1 - tf.pow(tf.constant(self.beta_2, tf.float64), step))
        scale = root / (1 - tf.pow(tf.constant(self.beta_1, tf.float64), step))
        return (
            tf.cast(tf.cast(rate, tf.float64) * scale, tf.float32),
            tf.cast(self.epsilon * root, tf.float32),
        )

    def _apply(self, var: Any, m: Any, n: Any, gradient: Any, rate: Any) -> None:
        """One step of Adam, by TensorFlow's fused kernel; where epsilon is 0, 0 / 0 counts as 0.

        The kernel computes `1 - beta_2` in float32, where it is off by 5e-5: it makes n too large by
        `excess`^2, which the step size and its floor, scaled alike, take back.
        """
        if self.epsilon == 0:
            self._apply_without_epsilon(var, m, n, gradient, rate)
            return
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

    def _apply_without_epsilon(self, var: Any, m: Any, n: Any, gradient: Any, rate: Any) -> None:
        m.assign(self.beta_1 * m + (1 - self.beta_1) * gradient)
        n.assign(self.beta_2 * n + (1 - self.beta_2) * tf.square(gradient))
        size, _ = self._step_size(rate)
        var.assign_sub(size * m / tf.maximum(tf.sqrt(n), TINY))

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


def _dense(gradient: Any) -> Any:
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _without_pull(gradient: Any, variable: keras.Variable) -> Any:
    pull = getattr(variable, "pull", None)
    if pull is None or gradient is None:
        return gradient
    return pull.taken_from(_dense(gradient), variable._value)


def _first(*values: Any) -> Any:
    """The first that is not None."""
    return next(value for value in values if value is not None)
