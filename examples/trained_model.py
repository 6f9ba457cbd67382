"""A model that was trained already is made small: its weights stay where the cut leaves them.

    python -m examples.trained_model

After He et al., "Neural Collaborative Filtering", 2017
"""

import keras
import numpy as np

import pep_tf
from examples.report import report

USERS, ITEMS, DIM = 3_000, 2_000, 64


def build_model() -> keras.Model:
    user = keras.Input((), dtype="int32", name="user")
    item = keras.Input((), dtype="int32", name="item")
    factors = [
        keras.layers.Embedding(USERS, DIM, name="user_factors")(user),
        keras.layers.Embedding(ITEMS, DIM, name="item_factors")(item),
    ]
    deep = keras.layers.Concatenate()(
        [
            keras.layers.Embedding(USERS, DIM, name="user_deep")(user),
            keras.layers.Embedding(ITEMS, DIM, name="item_deep")(item),
        ]
    )
    for width in (64, 32):
        deep = keras.layers.Dense(width, activation="relu")(deep)
    both = keras.layers.Concatenate()([keras.layers.Multiply()(factors), deep])
    likes = keras.layers.Dense(1, activation="sigmoid", name="likes")(both)
    return keras.Model({"user": user, "item": item}, likes)


def clicks(count: int):
    """Made up: users and items are of 6 kinds, and which kinds go together was drawn."""
    rng = np.random.default_rng(0)
    user, item = ((n * rng.random(count) ** 3).astype("int32") for n in (USERS, ITEMS))
    score = 2 * rng.normal(size=(6, 6))[user % 6, item % 6] + rng.normal(size=count)
    return {"user": user, "item": item}, (score > 0).astype("float32")[:, None]


def main(folder="runs/examples/trained_model", count=40_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x, y = clicks(count)
    options = {"batch_size": 512, "epochs": epochs, "validation_split": 0.1, "verbose": 2}

    trained = build_model()
    trained.compile("adam", "binary_crossentropy", metrics=["auc"])
    trained.fit(x, y, **options)

    model = pep_tf.prunable(trained)
    model.compile(pep_tf.RowwiseAdam(1e-3), "binary_crossentropy", metrics=["auc"])
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, y, **options, callbacks=[cut])

    small = cut.tickets[-1].model(init="trained")
    small.compile(pep_tf.RowwiseAdam(1e-3), "binary_crossentropy", metrics=["auc"])
    small.fit(x, y, **options)

    batch = {name: ids[:64] for name, ids in x.items()}
    version = pep_tf.export(small, folder, examples=batch)
    return report(trained, small, version, batch)


if __name__ == "__main__":
    main()
