"""Bags of ids: what a user has watched, by minutes, and what is on the list; one table for all.

    python -m examples.bags

After Covington et al., "Deep Neural Networks for YouTube Recommendations", 2016
"""

import keras
import numpy as np

import pep_tf
from examples.report import report

MOVIES = 5_000


def build_model() -> keras.Model:
    watched = keras.Input((20,), dtype="int32", name="watched")  # 0 is padding
    minutes = keras.Input((20,), name="minutes")
    listed = keras.Input((5,), dtype="int32", name="listed")
    movie = keras.Input((1,), dtype="int32", name="movie")
    table = pep_tf.PEPEmbedding(MOVIES, 64, mask_zero=True, combiner="mean", name="movies")
    rows = [table(watched, weights=minutes), table(listed), table(movie)]
    match = keras.layers.Multiply()([keras.layers.Add()(rows[:2]), rows[2]])
    hidden = keras.layers.Dense(64, activation="relu")(keras.layers.Concatenate()([*rows, match]))
    return keras.Model(
        {"watched": watched, "minutes": minutes, "listed": listed, "movie": movie},
        keras.layers.Dense(1, activation="sigmoid", name="watches")(hidden),
    )


def visits(count: int):
    """Made up: movies and users are of 8 genres; their own is what users watch longest and list."""
    rng = np.random.default_rng(0)

    def movies(width: int):
        drawn = rng.random((count, width)) ** 3
        return 8 + 8 * (drawn * (MOVIES / 8 - 1)).astype(int) + rng.integers(0, 8, (count, width))

    own = rng.integers(0, 8, (count, 1))
    watched, listed, movie = movies(20), movies(5), movies(1)
    minutes = np.where(watched % 8 == own, 90, 20) * rng.random(watched.shape)
    listed += (own - listed) % 8 * (rng.random(listed.shape) < 0.5)  # half of the list is theirs
    watched *= rng.random(watched.shape) < 0.7
    score = 2.0 * (own < 4) + (movie % 8 < 4) + (movie % 8 == own)
    x = {"watched": watched, "listed": listed, "movie": movie}
    x = {name: ids.clip(0, MOVIES - 1).astype("int32") for name, ids in x.items()}
    label = score + rng.normal(size=(count, 1)) > 1.5
    return {**x, "minutes": minutes.astype("float32") / 60}, label.astype("float32")


def main(folder="runs/examples/bags", count=30_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x, y = visits(count)
    options = {"batch_size": 256, "epochs": epochs, "validation_split": 0.1, "verbose": 2}
    dense = build_model()

    model = pep_tf.prunable(dense)  # which has a PEPEmbedding already
    model.compile(pep_tf.RowwiseAdam(3e-3), "binary_crossentropy", metrics=["auc"])
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, y, **options, callbacks=[cut])

    small = cut.tickets[-1].model()
    small.compile(pep_tf.RowwiseAdam(3e-3), "binary_crossentropy", metrics=["auc"])
    small.fit(x, y, **options)

    batch = {name: values[:64] for name, values in x.items()}
    version = pep_tf.export(small, folder, examples=batch)
    return report(build_model(), small, version, batch)


if __name__ == "__main__":
    main()
