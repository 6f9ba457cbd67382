"""What every example prints at its end: how small its export is, and that it answers as its model."""

import json
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import pep_tf


def report(dense: keras.Model, small: keras.Model, version: pathlib.Path, inputs: Any) -> dict:
    """Prints, and returns, how an export compares with the model in memory, and with the export of the dense model.

    Args:
        dense: the model before anything was pruned. It is exported in the same way, with each of its
            numbers in the file once; `keras.Model.export` writes each variable twice.
        small: the model that was exported.
        version: what `pep_tf.export` returned.
        inputs: a batch of inputs, by name if there are several.
    """
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    inputs = keras.tree.map_structure(tf.convert_to_tensor, inputs)
    names = served.structured_input_signature[1]
    answers = served(**(inputs if isinstance(inputs, dict) else dict.fromkeys(names, inputs)))
    expected = small(inputs, training=False)
    expected = expected if isinstance(expected, dict) else {"output_0": expected}
    dense(inputs)  # which builds one that is not
    with tempfile.TemporaryDirectory() as folder:
        before = size(pep_tf.export(pep_tf.prunable(dense), folder, examples=inputs))
    told = {
        "parameters_dense": parameters(dense),
        "parameters": parameters(small),
        "bytes_dense": before,
        "bytes": size(version),
        "ratio": round(size(version) / before, 3),
        "largest_difference": max(
            float(np.abs(answers[name] - expected[name]).max()) for name in expected
        ),
    }
    print(json.dumps(told, indent=2))
    return told


def parameters(model: keras.Model) -> int:
    """Numbers that training changes, but for thresholds, of which nothing stays."""
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables if v.name != "thresholds")


def size(folder: pathlib.Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
