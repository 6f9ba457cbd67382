"""How far an export's answers may be from the model's, and what is said where they are further."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.export.check import Check

IDS = np.zeros((4, 2), np.int32)
WHERE = Path("export/ticket")


def compare(difference: float, precision: str, format: str, dtype: str) -> dict:
    """A check of answers of which one differs by so much."""
    live = np.full(4, 0.5, np.float32)
    answer = live + np.float32([0, 0, -difference, 0])
    return Check(IDS, live, precision).compare(answer, format, dtype, WHERE)


@pytest.mark.parametrize(
    ("precision", "format", "dtype", "near", "far"),
    [
        ("float32", "savedmodel", "float32", 0.9e-6, 1.2e-6),
        ("float32", "litert", "float32", 0.9e-5, 1.2e-5),
        ("float32", "savedmodel", "float16", 0.9e-3, 1.2e-3),
        ("float32", "litert", "float16", 0.9e-3, 1.2e-3),
        # What processors with AMX make of a tower in bfloat16.
        ("bfloat16", "savedmodel", "float32", 3e-3, 1.2e-2),
        ("bfloat16", "savedmodel", "float16", 3e-3, 1.2e-2),
        ("float16", "savedmodel", "float32", 4e-4, 2.2e-3),
        ("float16", "savedmodel", "float16", 1.5e-3, 2.2e-3),
    ],
)
def test_the_tolerance_is_that_of_the_precision(precision, format, dtype, near, far):
    facts = compare(near, precision, format, dtype)
    assert facts == {"rows": 4, "largest_difference": pytest.approx(near, rel=0.1)}
    with pytest.raises(RunError, match="does not answer as the trained model does"):
        compare(far, precision, format, dtype)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_int8_is_told_not_refused(precision):
    assert compare(0.1, precision, "savedmodel", "int8")["largest_difference"] > 0.09
    with pytest.raises(RunError):
        compare(np.nan, precision, "savedmodel", "int8")


@pytest.mark.parametrize(
    ("precision", "dtype", "advice"),
    [
        ("float32", "float32", set()),
        ("float32", "float16", {"--export_dtype=float32"}),
        ("bfloat16", "float32", {"--precision=float32"}),
        ("bfloat16", "float16", {"--export_dtype=float32", "--precision=float32"}),
    ],
)
def test_nothing_is_advised_that_is_in_use(precision, dtype, advice):
    with pytest.raises(RunError) as caught:
        compare(0.5, precision, "savedmodel", dtype)
    words = str(caught.value).replace(";", " ").replace(".", " ").split()
    assert {word for word in words if word.startswith("--")} == advice


def test_a_model_that_answers_with_nan_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x[:, :1] * np.nan)])
    with pytest.raises(RunError, match="computes in float32 and answers 4 of 4 rows with NaN"):
        Check.of(model, tf.zeros([4, 2]))
