"""Wide & deep: a dict of strings and numbers as input, looked up inside of the model.

    python -m examples.wide_and_deep

After Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016, and
https://keras.io/examples/structured_data/wide_deep_cross_networks
"""

import keras
import numpy as np
import tensorflow as tf

import pep_tf
from examples.report import report

SIZES = {"user": 4_000, "app": 3_000, "device": 50}
VALUES = {name: [f"{name}_{i}" for i in range(size)] for name, size in SIZES.items()}


def build_model() -> keras.Model:
    text = {name: keras.Input((1,), dtype="string", name=name) for name in SIZES}
    hour = keras.Input((1,), name="hour")
    ids = {name: keras.layers.StringLookup(vocabulary=VALUES[name])(text[name]) for name in SIZES}
    ids["app_x_device"] = keras.layers.HashedCrossing(10_000)([text["app"], text["device"]])
    sizes = {**{name: size + 1 for name, size in SIZES.items()}, "app_x_device": 10_000}

    wide = [keras.layers.Embedding(sizes[n], 1, name=f"{n}_weight")(ids[n]) for n in sizes]
    deep = [keras.layers.Embedding(sizes[n], 64, name=f"{n}_table")(ids[n]) for n in SIZES]
    deep = [keras.layers.Flatten()(rows) for rows in deep]
    hidden = keras.layers.Concatenate()([*deep, keras.layers.Rescaling(1 / 24)(hour)])
    for width in (64, 32):
        hidden = keras.layers.Dense(width, activation="relu")(hidden)
    logits = [keras.layers.Flatten()(weight) for weight in wide] + [keras.layers.Dense(1)(hidden)]
    installs = keras.layers.Activation("sigmoid", name="installs")(keras.layers.Add()(logits))
    return keras.Model({**text, "hour": hour}, installs)


def impressions(count: int):
    """Made up: who installs what, by kinds of users and of apps, and by app and device."""
    rng = np.random.default_rng(0)
    ids = {name: (size * rng.random(count) ** 3).astype(int) for name, size in SIZES.items()}
    hour = rng.uniform(0, 24, count).astype("float32")
    score = 2 * rng.normal(size=(5, 5))[ids["user"] % 5, ids["app"] % 5]
    score += rng.normal(size=(3_000, 50))[ids["app"], ids["device"]]
    label = score + np.sin(hour / 4) + rng.normal(size=count) > 0
    x = {name: tf.gather(VALUES[name], ids[name])[:, None] for name in SIZES}
    return {**x, "hour": hour[:, None]}, label.astype("float32")[:, None]


def main(folder="runs/examples/wide_and_deep", count=40_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x, y = impressions(count)
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
