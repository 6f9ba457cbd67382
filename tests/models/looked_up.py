"""Embeddings and first-order weights of the hand-computed logits."""

import keras
import numpy as np

from pep_tf.layers import PEPEmbedding

FIELDS = {"gender": 2, "age": 3}
IDS = np.array([[1, 2], [0, 1]], np.int32)  # rows 1, 4 and 0, 3
TABLE = np.array([[1, 2], [3, -1], [9, 9], [-2, 0.5], [0.5, 4]], np.float32)
FIRST_ORDER = np.array([[0.1], [0.2], [9], [0.4], [-0.5]], np.float32)
# <row 1, row 4> = 1.5 - 4; <row 0, row 3> = -2 + 1
PAIRS = np.array([[-2.5], [-1]], np.float32)
LINEAR = np.array([[-0.3], [0.5]], np.float32) + 0.25  # with the bias


def embedding() -> PEPEmbedding:
    start = keras.initializers.Constant(TABLE)
    return PEPEmbedding(5, 2, pruning="none", embeddings_initializer=start)


def set_linear(model) -> None:
    model.first_order.table.assign(FIRST_ORDER)
    model.bias.assign([0.25])
