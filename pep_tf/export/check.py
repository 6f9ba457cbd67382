"""Whether an exported model answers as the live model does."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pep_tf.errors import RunError
from pep_tf.export.precision import precision_of
from pep_tf.extras import missing
from pep_tf.tables.packed.values import LEARNED, StoredAs

FORMATS = ("savedmodel", "litert")
# Largest difference of a probability, by how the numbers are stored; int8 and int4 have no bar, their
# difference is only reported.
_STORED = {
    ("savedmodel", "float32"): 1e-6,
    ("litert", "float32"): 1e-5,  # other kernels, which sum in another order
    ("savedmodel", "float16"): 1e-3,
    ("litert", "float16"): 1e-3,
    # Rounded in the model as well: just its numbers are stored.
    **{("savedmodel", dtype): 1e-6 for dtype in LEARNED},
    **{("litert", dtype): 1e-5 for dtype in LEARNED},
}
# By what the tower computes in. How often an intermediate result is rounded depends on the processor:
# oneDNN's kernels for AMX keep 24 bits where others round to the 8 of a bfloat16, and the same tower
# then answers 3e-3 differently. float16 has 11 bits, an eighth of the rounding.
_COMPUTED = {"float32": 0.0, "float16": 2e-3, "bfloat16": 1e-2}
_LITERT = "ai_edge_litert"


class Check(NamedTuple):
    """The answers of the live model.

    Attributes:
        ids: int32 [n, C], as the model takes them.
        probability: float32 [n].
        precision: what it computes in, see `precision_of`.
    """

    ids: np.ndarray
    probability: np.ndarray
    precision: str = "float32"

    @classmethod
    def of(cls, model: keras.Model, ids: tf.Tensor) -> "Check":
        """The answers of a model that maps ids int [n, F] to logits [n, 1].

        Raises:
            RunError: answers that are not finite.
        """

        def logits(ids: tf.Tensor) -> tf.Tensor:
            return model(ids, training=False)[:, 0]

        precision = precision_of(logits, tf.TensorSpec([None, ids.shape[1]], ids.dtype))
        probability = tf.sigmoid(logits(ids)).numpy()
        if wrong := np.count_nonzero(~np.isfinite(probability)):
            raise RunError(
                f"`model` must answer with finite numbers. Received: a model that computes in "
                f"{precision} and answers {wrong} of {len(probability)} rows with NaN."
            )
        return cls(ids.numpy(), probability, precision)

    def compare(
        self, answer: np.ndarray, format: str, dtype: StoredAs, where: Path
    ) -> dict[str, Any]:
        """Facts for the model card: `rows` and `largest_difference` of a probability.

        Raises:
            RunError: a difference that is too large for the format, the dtype and the precision.
        """
        difference = self.difference(answer)
        require_close(difference, self.precision, format, dtype, where)
        return {"rows": len(self.ids), "largest_difference": difference}

    def difference(self, answer: np.ndarray) -> float:
        """The largest difference of a probability."""
        return float(np.abs(answer - self.probability).max(initial=0))


def require_close(
    difference: float, precision: str, format: str, dtype: StoredAs, where: Path
) -> None:
    """Raises RunError for answers that differ by too much for format, dtype and precision."""
    dtypes = {dtype} if isinstance(dtype, str) else {*dtype.values()}
    tolerance = max(_COMPUTED[precision], *(_STORED.get((format, own), np.inf) for own in dtypes))
    if not difference <= tolerance:
        raise RunError(
            f"The {format} of dtype {dtype} for {where} does not answer as the trained model "
            f"does: an answer differs by {difference:.2e}, more than {tolerance:.0e}. "
            f"Nothing was left there{_advice(dtypes, precision)}."
        )


def _advice(dtypes: set[str], precision: str) -> str:
    """The nearest match that is not used already."""
    options = [("export_dtype", dtypes), ("precision", {precision})]
    better = [f"--{name}=float32" for name, used in options if used != {"float32"}]
    return f"; {' and '.join(better)} would come nearer" if better else ""


def saved_model_answer(version: Path, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities float32 [n] of the inputs of signature `ids`, from the file."""
    loaded = tf.saved_model.load(str(version))
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return loaded.signatures["ids"](**tensors)["probability"].numpy()


def litert_answer(content: bytes, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The same from a `.tflite`; see `check_litert`."""
    return litert_answers(content, "ids", inputs)["probability"]


def litert_answers(
    content: bytes, signature: str, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs of a signature of a `.tflite` by name; see `check_litert`."""
    check_litert()
    from ai_edge_litert import interpreter

    runner = interpreter.Interpreter(model_content=content).get_signature_runner(signature)
    outputs: dict[str, np.ndarray] = runner(**inputs)
    return outputs


def check_litert() -> None:
    """Raises MissingExtra unless LiteRT is installed, which runs a `.tflite` to check it."""
    if importlib.util.find_spec(_LITERT) is None:
        what = "a LiteRT export, which is checked by running it,"
        raise missing(ModuleNotFoundError(name=_LITERT), what)
