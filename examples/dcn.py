"""Deep & Cross Network: six columns of strings; the budget is for the large tables alone.

    python -m examples.dcn

After Wang et al., "DCN V2", 2021, and https://www.tensorflow.org/recommenders/examples/dcn
"""

import keras
import numpy as np
import tensorflow as tf

import pep_tf
from examples.report import report

SIZES = {"movie": 3_000, "user": 3_000, "zip": 2_000, "occupation": 21, "age": 7, "gender": 2}
DIMS = {name: 64 if size > 100 else 4 for name, size in SIZES.items()}
VALUES = {name: [f"{name}_{i}" for i in range(size)] for name, size in SIZES.items()}


def build_model() -> keras.Model:
    text = {name: keras.Input((), dtype="string", name=name) for name in SIZES}
    rows = []
    for name, column in text.items():
        lookup = keras.layers.StringLookup(vocabulary=VALUES[name])
        rows.append(
            keras.layers.Embedding(SIZES[name] + 1, DIMS[name], name=f"{name}_table")(
                lookup(column)
            )
        )
    first = crossed = keras.layers.Concatenate()(rows)
    for _ in range(2):
        mixed = keras.layers.Dense(first.shape[-1])(keras.layers.Dense(32)(crossed))
        crossed = keras.layers.Add()([keras.layers.Multiply()([first, mixed]), crossed])
    hidden = keras.layers.Dense(64, activation="relu")(crossed)
    return keras.Model(text, keras.layers.Dense(1, activation="sigmoid", name="likes")(hidden))


def ratings(count: int):
    """Made up: whether a movie is liked depends on pairs of columns, as a cross layer has them."""
    rng = np.random.default_rng(0)
    ids = {name: (size * rng.random(count) ** 3).astype(int) for name, size in SIZES.items()}
    score = rng.normal(size=(8, 8))[ids["user"] % 8, ids["movie"] % 8]
    score += rng.normal(size=(7, 8))[ids["age"], ids["movie"] % 8]
    score += rng.normal(size=(21, 2))[ids["occupation"], ids["gender"]]
    label = score + rng.normal(size=count) > 0
    x = {name: tf.gather(VALUES[name], ids[name]) for name in SIZES}
    return x, label.astype("float32")[:, None]


def main(folder="runs/examples/dcn", count=40_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x, y = ratings(count)
    options = {"batch_size": 512, "epochs": epochs, "validation_split": 0.1, "verbose": 2}
    dense = build_model()

    model = pep_tf.prunable(dense, exclude=["occupation_table", "age_table", "gender_table"])
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
