"""DLRM with a layer of Keras Recommenders: numbers and categories, of which every pair interacts.

    pip install keras-rs && python -m examples.dlrm_keras_rs

After Naumov et al., "Deep Learning Recommendation Model", 2019, and https://keras.io/keras_rs/examples/dlrm
"""

import keras
import keras_rs
import numpy as np

import pep_tf
from examples.report import report

NUMBERS, SIZES = 5, {"user": 3_000, "ad": 3_000, "site": 1_000, "query": 2_000, "hour": 24}


def mlp(inputs, *widths):
    for width in widths:
        inputs = keras.layers.Dense(width, activation="relu")(inputs)
    return inputs


def build_model() -> keras.Model:
    numbers = keras.Input((NUMBERS,), name="numbers")
    ids = {name: keras.Input((), dtype="int32", name=name) for name in SIZES}
    rows = [keras.layers.Embedding(SIZES[n], 64, name=f"{n}_table")(ids[n]) for n in SIZES]
    bottom = mlp(numbers, 64, 64)
    pairs = keras_rs.layers.DotInteraction()([bottom, *rows])
    top = mlp(keras.layers.Concatenate()([bottom, pairs]), 64)
    click = keras.layers.Dense(1, activation="sigmoid", name="click")(top)
    return keras.Model({"numbers": numbers, **ids}, click)


def clicks(count: int):
    """Made up: kinds of users click on kinds of ads, more so where the numbers are high."""
    rng = np.random.default_rng(0)
    x = {name: (size * rng.random(count) ** 3).astype("int32") for name, size in SIZES.items()}
    numbers = rng.normal(size=(count, NUMBERS)).astype("float32")
    score = 2 * rng.normal(size=(6, 6))[x["user"] % 6, x["ad"] % 6] + numbers.sum(axis=1) / 2
    score += rng.normal(size=(6, 24))[x["query"] % 6, x["hour"]]
    label = score + rng.normal(size=count) > 0
    return {"numbers": numbers, **x}, label.astype("float32")[:, None]


def main(folder="runs/examples/dlrm_keras_rs", count=40_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x, y = clicks(count)
    options = {"batch_size": 512, "epochs": epochs, "validation_split": 0.1, "verbose": 2}
    dense = build_model()

    model = pep_tf.prunable(dense)
    model.compile(pep_tf.RowwiseAdam(3e-3), "binary_crossentropy", metrics=["auc"])
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, y, **options, callbacks=[cut])

    small = cut.tickets[-1].model()
    small.compile(pep_tf.RowwiseAdam(3e-3), "binary_crossentropy", metrics=["auc"])
    small.fit(x, y, **options)

    batch = {name: column[:64] for name, column in x.items()}
    version = pep_tf.export(small, folder, examples=batch)
    return report(dense, small, version, batch)


if __name__ == "__main__":
    main()
