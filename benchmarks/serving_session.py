"""A SavedModel in a session, as TF Serving holds it: no Python between the operations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf


def open_session(
    version: str | Path, signature: str = "ids"
) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """A function from `{input: array}` to the probabilities float32 [B]."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    session = v1.Session(graph=graph)
    with graph.as_default():
        meta_graph = v1.saved_model.loader.load(session, ["serve"], str(version))
        definition = meta_graph.signature_def[signature]
        names = sorted(definition.inputs)
        fed = [definition.inputs[name].name for name in names]
        run = session.make_callable(definition.outputs["probability"].name, fed)
    return lambda inputs: run(*(inputs[name] for name in names))
