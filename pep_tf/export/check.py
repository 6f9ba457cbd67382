"""Whether an exported model answers as the one that it was made from."""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pep_tf.errors import RunError

FORMATS = ("savedmodel", "litert")
# Largest difference of a probability; int8 has no bar, its difference is told.
_TOLERANCES = {
    ("savedmodel", "float32"): 1e-6,
    ("litert", "float32"): 1e-5,  # other kernels, which sum in another order
    ("savedmodel", "float16"): 1e-3,
    ("litert", "float16"): 1e-3,
}
_LITERT = "ai_edge_litert"


class Check(NamedTuple):
    """What the live model answers.

    Attributes:
        ids: int32 [n, F], per-field ids.
        probability: float32 [n].
    """

    ids: np.ndarray
    probability: np.ndarray

    def compare(self, answer: np.ndarray, format: str, dtype: str, where: Path) -> dict[str, Any]:
        """Facts for the model card: `rows` and `largest_difference` of a probability.

        Raises:
            RunError: a difference that is too large for the format and the dtype.
        """
        difference = float(np.abs(answer - self.probability).max(initial=0))
        tolerance = _TOLERANCES.get((format, dtype), np.inf)
        if not difference <= tolerance:
            raise RunError(
                f"The {format} of dtype {dtype} for {where} does not answer as the trained model "
                f"does: a probability differs by {difference:.2e}, more than {tolerance:.0e}. "
                "Nothing was left there; --export_dtype=float32 is exact."
            )
        return {"rows": len(self.ids), "largest_difference": difference}


def saved_model_answer(version: Path, ids: np.ndarray) -> np.ndarray:
    """Probabilities float32 [n] of ids int32 [n, F], from the file."""
    loaded = tf.saved_model.load(str(version))
    return loaded.signatures["ids"](ids=tf.constant(ids))["probability"].numpy()


def litert_answer(content: bytes, ids: np.ndarray) -> np.ndarray:
    """The same of a `.tflite`; see `check_litert`."""
    check_litert()
    from ai_edge_litert import interpreter

    runner = interpreter.Interpreter(model_content=content).get_signature_runner()
    return runner(ids=ids)["probability"]


def check_litert() -> None:
    """Raises RunError unless LiteRT is installed, which runs a `.tflite` to check it."""
    if importlib.util.find_spec(_LITERT) is None:
        raise RunError(
            "A LiteRT export is checked by running it: pip install -r requirements-export.txt"
        )
