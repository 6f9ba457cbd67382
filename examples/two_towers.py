"""Two towers with a loss of their own: the other items of a batch are what a user did not take.

    python -m examples.two_towers

After Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", 2019,
and https://keras.io/keras_rs/examples/basic_retrieval
"""

import keras
import numpy as np

import pep_tf
from examples.report import report

SIZES = {"user": 3_000, "item": 4_000}


@keras.saving.register_keras_serializable(package="examples")
class TwoTowers(keras.Model):
    """Vectors of users and items, whose product is high where they go together."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        scores = 10 * keras.ops.matmul(y_pred["user"], keras.ops.transpose(y_pred["item"]))
        own = keras.ops.arange(keras.ops.shape(scores)[0])
        loss = keras.losses.sparse_categorical_crossentropy(own, scores, from_logits=True)
        return keras.ops.mean(loss)


def tower(name: str) -> keras.Model:
    table = keras.layers.Embedding(SIZES[name], 64, name=name)
    layers = [table, keras.layers.Dense(32), keras.layers.UnitNormalization()]
    return keras.Sequential([keras.Input((), dtype="int32"), *layers], name=f"{name}_tower")


def build_model() -> keras.Model:
    ids = {name: keras.Input((), dtype="int32", name=name) for name in SIZES}
    return TwoTowers(ids, {name: tower(name)(ids[name]) for name in SIZES})


def purchases(count: int):
    """Made up: users and items are of 20 kinds, and most of what a user takes is of one kind."""
    rng = np.random.default_rng(0)
    user, item = (20 * (size / 20 * rng.random(count) ** 3).astype(int) for size in SIZES.values())
    kind, other = rng.integers(0, 20, (2, count))
    item += np.where(rng.random(count) < 0.9, kind, other)
    return {"user": (user + kind).astype("int32"), "item": item.astype("int32")}


def main(folder="runs/examples/two_towers", count=40_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x = purchases(count)
    options = {"batch_size": 256, "epochs": epochs, "validation_split": 0.1, "verbose": 2}
    dense = build_model()

    model = pep_tf.prunable(dense)
    model.compile(pep_tf.RowwiseAdam(3e-3))
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, **options, callbacks=[cut])

    small = cut.tickets[-1].model()
    small.compile(pep_tf.RowwiseAdam(3e-3))
    small.fit(x, **options)

    batch = {name: ids[:64] for name, ids in x.items()}
    version = pep_tf.export(small, folder, examples=batch)
    return report(dense, small, version, batch)


if __name__ == "__main__":
    main()
