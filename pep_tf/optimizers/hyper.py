"""The constants of Adam with coupled L2, checked once."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Hyper:
    """Constants of Adam with coupled L2; hashable, so that compiled functions can be kept per value.

    One step `t = 1, 2, ...` with data gradient `x` is

        g = x + l2 * (p - target)
        m = beta_1 * m + (1 - beta_1) * g
        n = beta_2 * n + (1 - beta_2) * g**2
        p = p - learning_rate * (m / (1 - beta_1**t)) / (sqrt(n / (1 - beta_2**t)) + epsilon)

    (Kingma and Ba, arXiv 1412.6980, algorithm 1, with PyTorch's `weight_decay` inside `g`).

    Args:
        learning_rate: step size, a positive float. It is one number: a schedule cannot be caught up.
        l2: strength of the coupled decay, >= 0. At 0 skipped steps move an entry by momentum alone.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in (0, 1), and beta_2 >= beta_1**2: otherwise the
            tail of the momentum divided by sqrt(n) grows without bound.
        epsilon: added to the square root, >= 0. At 0 a step of 0 / 0 counts as no step.
        target: the value the decay pulls to, 0 for plain L2.

    Raises:
        ValueError: names the argument that is out of range or not a finite number.
    """

    learning_rate: float = 1e-3
    l2: float = 1e-5
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    target: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _number(field.name, getattr(self, field.name)))
        _require(self.learning_rate > 0.0, "learning_rate", "be positive", self.learning_rate)
        _require(self.l2 >= 0.0, "l2", "be at least 0", self.l2)
        _require(0.0 <= self.beta_1 < 1.0, "beta_1", "be in [0, 1)", self.beta_1)
        _require(
            0.0 < self.beta_2 < 1.0,
            "beta_2",
            "be in (0, 1) (at 1 the second moment would never leave 0)",
            self.beta_2,
        )
        _require(
            self.beta_2 >= self.beta_1**2,
            "beta_2",
            f"be at least `beta_1`**2 = {self.beta_1**2:g}, or the tail of the momentum grows",
            self.beta_2,
        )
        _require(self.epsilon >= 0.0, "epsilon", "be at least 0", self.epsilon)


def _number(name: str, value: object) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number:
        try:  # NumPy scalars and 0-d arrays
            value = value.item()  # type: ignore[attr-defined]
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        except (AttributeError, ValueError):
            is_number = False
    finite = is_number and math.isfinite(value)  # type: ignore[arg-type]
    _require(finite, name, "be one finite number (a schedule cannot be caught up)", value)
    return float(value)  # type: ignore[arg-type]


def _require(holds: bool, name: str, must: str, value: object) -> None:
    if not holds:
        raise ValueError(f"`{name}` must {must}. Received: {name}={value!r}")
