"""Two heads: what is clicked and what of that is bought, which weights of the samples tell.

    python -m examples.multi_task

After Caruana, "Multitask Learning", 1997, and Ma et al., "Entire Space Multi-Task Model", 2018
"""

import keras
import numpy as np

import pep_tf
from examples.report import report

SIZES = {"user": 4_000, "item": 3_000, "shop": 500}


def build_model() -> keras.Model:
    ids = {name: keras.Input((), dtype="int32", name=name) for name in SIZES}
    rows = [keras.layers.Embedding(SIZES[n], 64, name=f"{n}_table")(ids[n]) for n in SIZES]
    shared = keras.layers.Dense(128, activation="relu")(keras.layers.Concatenate()(rows))

    def head(name: str):
        own = keras.layers.Dense(32, activation="relu")(shared)
        return keras.layers.Dense(1, activation="sigmoid", name=name)(own)

    return keras.Model(ids, {name: head(name) for name in ("click", "buy")})


def sessions(count: int):
    """Made up: users click by kind of item, and buy by kind of shop; what is not clicked is not bought."""
    rng = np.random.default_rng(0)
    x = {name: (size * rng.random(count) ** 3).astype("int32") for name, size in SIZES.items()}
    user = x["user"] % 5
    clicks = 2 * rng.normal(size=(5, 5))[user, x["item"] % 5] + rng.normal(size=count) > 0
    buys = 2 * rng.normal(size=(5, 5))[user, x["shop"] % 5] + rng.normal(size=count) > 0
    y = {"click": clicks, "buy": clicks & buys}
    weight = {"click": np.ones(count), "buy": clicks}  # nothing is known of what was not clicked
    return x, *(
        {k: v.astype("float32")[:, None] for k, v in named.items()} for named in (y, weight)
    )


def main(folder="runs/examples/multi_task", count=40_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x, y, weight = sessions(count)
    options = {"batch_size": 512, "epochs": epochs, "validation_split": 0.1, "verbose": 2}
    losses = {"click": "binary_crossentropy", "buy": "binary_crossentropy"}
    metrics = {"click": ["auc"], "buy": ["auc"]}
    dense = build_model()

    model = pep_tf.prunable(dense)
    model.compile(pep_tf.RowwiseAdam(3e-3), losses, weighted_metrics=metrics)
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, y, sample_weight=weight, **options, callbacks=[cut])

    small = cut.tickets[-1].model()
    small.compile(pep_tf.RowwiseAdam(3e-3), losses, weighted_metrics=metrics)
    small.fit(x, y, sample_weight=weight, **options)

    batch = {name: ids[:64] for name, ids in x.items()}
    version = pep_tf.export(small, folder, examples=batch)
    return report(dense, small, version, batch)


if __name__ == "__main__":
    main()
