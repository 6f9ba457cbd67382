"""The constants of the update are checked where they are made."""

import numpy as np
import pytest

from pep_tf.optimizers import Hyper


def test_defaults_are_the_papers() -> None:
    assert Hyper() == Hyper(1e-3, 1e-5, 0.9, 0.999, 1e-8, 0.0)


def test_numpy_scalars_become_floats() -> None:
    hyper = Hyper(learning_rate=np.float32(0.5), l2=np.array(2))
    assert hyper == Hyper(learning_rate=0.5, l2=2.0)
    assert type(hyper.learning_rate) is float
    assert hash(hyper) == hash(Hyper(learning_rate=0.5, l2=2.0))


@pytest.mark.parametrize(
    ("name", "value", "must"),
    [
        ("learning_rate", 0.0, "be positive"),
        ("learning_rate", -1.0, "be positive"),
        ("learning_rate", lambda step: 1e-3, "be one finite number"),
        ("learning_rate", np.ones(2), "be one finite number"),
        ("learning_rate", True, "be one finite number"),
        ("l2", -1e-9, "be at least 0"),
        ("l2", float("nan"), "be one finite number"),
        ("beta_1", 1.0, r"be in \[0, 1\)"),
        ("beta_1", -0.1, r"be in \[0, 1\)"),
        ("beta_2", 1.0, r"be in \(0, 1\)"),
        ("beta_2", 0.0, r"be in \(0, 1\)"),
        ("beta_2", 0.5, "be at least `beta_1`"),
        ("epsilon", -1e-12, "be at least 0"),
        ("target", float("inf"), "be one finite number"),
    ],
)
def test_each_error_names_its_argument(name: str, value: object, must: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must {must}.*Received: {name}="):
        Hyper(**{name: value})  # type: ignore[arg-type]


def test_the_limits_are_allowed() -> None:
    Hyper(l2=0.0, beta_1=0.0, beta_2=1e-3, epsilon=0.0)
