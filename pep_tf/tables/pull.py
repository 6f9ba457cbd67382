"""What makes thresholds rise under any optimizer: a pull to a target, as a term of their gradient."""

from typing import Any

import tensorflow as tf

from pep_tf.numbers import real

PUBLISHED = 1e-5  # weight of the coupled L2 in the paper's runs


class Pull:
    """The gradient of `strength / 2 * sum (s - target)^2`, which never enters a reported loss.

    Adam's step hardly depends on the size of a gradient, so that even a weak pull moves thresholds by
    about one learning rate a step (Liu et al. get theirs from weight decay inside Adam). Optimizers of
    this package have an L2 term of their own and switch the pull off; they take its constants.

    Args:
        strength: of the pull; None leaves it to an optimizer of this package (its `l2`), and is 1e-5
            under any other.
        target: what thresholds are pulled to. With a sigmoid gate a target of 0, the published
            method, ends at g(s) = 0.5; above 0 they keep rising.
        learning_rate: of the thresholds, for optimizers of this package; None takes the common one.
    """

    def __init__(
        self,
        strength: float | None = None,
        target: float = 0.0,
        learning_rate: float | None = None,
    ) -> None:
        own = {"pull": strength, "target": target, "learning_rate": learning_rate}
        read = [None if x is None else real(f"threshold_{n}", x) for n, x in own.items()]
        self._constants = dict(zip(("strength", "target", "learning_rate"), read, strict=True))
        self._fixed = False
        self._in_a_gradient = False
        with tf.init_scope():  # a graph traced before the optimizer was built must see the switch
            self._on = tf.Variable(1.0, trainable=False)

    @property
    def strength(self) -> float | None:
        return self._constants["strength"]

    @property
    def target(self) -> float:
        return self._constants["target"] or 0.0

    @property
    def learning_rate(self) -> float | None:
        return self._constants["learning_rate"]

    def change(self, **constants: float | None) -> None:
        """Sets constants by name; only before the first step that uses them.

        Raises:
            ValueError: an optimizer was built with others.
        """
        changed = {name: to for name, to in constants.items() if self._constants[name] != to}
        if changed and self._fixed:
            raise ValueError(
                "The pull of thresholds cannot change once an optimizer has trained them: compile "
                f"the model with a new optimizer. Received: {changed}"
            )
        self._constants |= changed

    def fix(self) -> None:
        """Fixes the constants from now on: an optimizer has compiled them."""
        self._fixed = True

    def switch(self, on: bool) -> None:
        """Whether thresholds are pulled by their gradient; a new optimizer may have others."""
        self._fixed = False
        with tf.init_scope():
            self._on.assign(float(on))

    def of(self, thresholds: Any) -> tf.Tensor:
        """The gradient, shape of `thresholds`; zeros if switched off."""
        self._in_a_gradient |= tf.executing_eagerly()
        strength = PUBLISHED if self.strength is None else self.strength
        # Each replica has the gradient of its share of the batch, and all of them are summed.
        share = 1.0 / tf.distribute.get_strategy().num_replicas_in_sync
        return self._on * (strength * share) * (thresholds - self.target)

    def taken_from(self, gradient: tf.Tensor, thresholds: Any) -> tf.Tensor:
        """An eagerly computed gradient without the pull, if it contains it."""
        return gradient - self.of(thresholds) if self._in_a_gradient else gradient

    def on(self, thresholds: tf.Tensor) -> tf.Tensor:
        """The same thresholds, whose gradient has the pull added."""

        @tf.custom_gradient
        def pulled(values: tf.Tensor) -> Any:
            return tf.identity(values), lambda upstream: upstream + self.of(values)

        return pulled(thresholds)
