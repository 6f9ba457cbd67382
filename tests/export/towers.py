"""Small Keras models with the interface that the export asks for."""

import keras
import numpy as np
import tensorflow as tf

from pep_tf.data.raw import RawColumn
from pep_tf.data.schema import FeatureSchema

SCHEMA = FeatureSchema.of({"user": 50, "device": 3, "hour": 24})
DIM = 8


class SmallTower(keras.Model):
    """Dense, BatchNorm with statistics of its own, Dropout, a bias: what a DeepFM tower has."""

    def __init__(self, num_fields: int = 3, dim: int = DIM) -> None:
        super().__init__()
        self.width = num_fields * dim
        self.hidden = keras.layers.Dense(16)
        self.norm = keras.layers.BatchNormalization()
        self.dropout = keras.layers.Dropout(0.2)
        self.last = keras.layers.Dense(1)
        self.bias = self.add_weight(shape=(), name="bias")
        # An embedding of the live model, which must not find its way into the file.
        self.embedding = keras.layers.Embedding(1000, dim)
        self.embedding.build((None, num_fields))
        self.interact(tf.zeros([2, num_fields, dim]), tf.zeros([2, num_fields, 1]))
        rng = np.random.default_rng(5)
        self.norm.moving_mean.assign(rng.normal(size=16))
        self.norm.moving_variance.assign(rng.uniform(0.5, 2, size=16))
        self.bias.assign(-0.3)

    def interact(self, embedded, first_order):
        x = keras.ops.reshape(embedded, (-1, self.width))
        x = self.dropout(keras.ops.relu(self.norm(self.hidden(x))))
        logit = keras.ops.squeeze(self.last(x), -1) + self.bias
        return logit if first_order is None else logit + keras.ops.sum(first_order, axis=(1, 2))


def sparse_table(rows: int, dim: int, kept: float, seed: int = 0) -> np.ndarray:
    """float32 [rows, dim]; about `kept` of the rows have entries, half of theirs."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((rows, 1)) < kept) & (rng.random((rows, dim)) < 0.5)
    return np.where(mask, rng.normal(size=(rows, dim)), 0).astype(np.float32)


TABLE = sparse_table(SCHEMA.num_features, DIM, kept=0.3)
FIRST_ORDER = sparse_table(SCHEMA.num_features, 1, kept=0.5, seed=1)


def random_ids(schema: FeatureSchema, rows: int, seed: int = 0) -> np.ndarray:
    """int32 [rows, F], each within its field."""
    return np.random.default_rng(seed).integers(
        0, schema.sizes, (rows, len(schema.sizes)), np.int32
    )


def expected(tower, schema, table, first_order, ids) -> tuple[np.ndarray, np.ndarray]:
    """Probability and logit float32 [B], straight from the arrays."""
    rows = ids + schema.offsets
    linear = None if first_order is None else tf.constant(first_order[rows])
    logit = tower.interact(tf.constant(table[rows]), linear)
    return tf.sigmoid(logit).numpy(), logit.numpy()


class BucketTransform(tf.Module):
    """Strings by a hash, an hour by its number: raw columns for the small schema."""

    schema = SCHEMA

    def raw_columns(self):
        return {
            "user": RawColumn(tf.string, "text", missing=""),
            "device": RawColumn(tf.string, "text", missing=""),
            "hour": RawColumn(tf.int64, "an hour", missing=-1),
        }

    def without(self, empty):
        return self

    def __call__(self, raw):
        hour = tf.where((raw["hour"] >= 0) & (raw["hour"] < 24), raw["hour"], 0)
        ids = [
            tf.strings.to_hash_bucket_fast(raw["user"], 50),
            tf.strings.to_hash_bucket_fast(raw["device"], 3),
            hour,
        ]
        return tf.cast(tf.stack(ids, axis=1), tf.int32)
