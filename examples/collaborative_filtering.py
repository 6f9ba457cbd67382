"""Collaborative filtering: a subclassed model, which `prunable` makes by the function that makes it.

    python -m examples.collaborative_filtering

After https://keras.io/examples/structured_data/collaborative_filtering_movielens
"""

import keras
import numpy as np

import pep_tf
from examples.report import report

USERS, MOVIES, DIM = 3_000, 5_000, 64


class Recommender(keras.Model):
    """The probability that a user likes a movie."""

    def __init__(self, Embedding) -> None:
        super().__init__()
        self.user = Embedding(USERS, DIM, name="user")
        self.user_bias = Embedding(USERS, 1, name="user_bias")
        self.movie = Embedding(MOVIES, DIM, name="movie")
        self.movie_bias = Embedding(MOVIES, 1, name="movie_bias")

    def call(self, inputs):
        user, movie = inputs["user"], inputs["movie"]
        match = keras.ops.sum(self.user(user) * self.movie(movie), axis=-1, keepdims=True)
        return keras.ops.sigmoid(match + self.user_bias(user) + self.movie_bias(movie))


def ratings(count: int):
    """Made up: a few users and movies have most of the ratings, and each user likes some genres."""
    rng = np.random.default_rng(0)
    user, movie = ((n * rng.random(count) ** 3).astype("int32") for n in (USERS, MOVIES))
    likes = rng.normal(size=(USERS, 4))
    genre, quality = rng.integers(0, 4, MOVIES), rng.normal(size=MOVIES)
    liked = likes[user, genre[movie]] + quality[movie] + rng.normal(size=count) > 0
    return {"user": user, "movie": movie}, liked.astype("float32")[:, None]


def main(folder="runs/examples/collaborative_filtering", count=60_000, epochs=4) -> dict:
    keras.utils.set_random_seed(0)
    x, y = ratings(count)
    options = {"batch_size": 512, "epochs": epochs, "validation_split": 0.1, "verbose": 2}

    model = pep_tf.prunable(Recommender)
    model.compile(pep_tf.RowwiseAdam(1e-2), "binary_crossentropy", metrics=["auc"])
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, y, **options, callbacks=[cut])

    small = cut.tickets[-1].model()
    small.compile(pep_tf.RowwiseAdam(1e-2), "binary_crossentropy", metrics=["auc"])
    small.fit(x, y, **options)

    batch = {name: ids[:64] for name, ids in x.items()}
    version = pep_tf.export(small, folder, examples=batch)
    return report(pep_tf.prunable(Recommender), small, version, batch)


if __name__ == "__main__":
    main()
