"""The next item of a sequence by self-attention; padded histories, and one table for two inputs.

    python -m examples.sequential

After Kang and McAuley, "Self-Attentive Sequential Recommendation", 2018
"""

import keras
import numpy as np

import pep_tf
from examples.report import report

ITEMS, LENGTH, CANDIDATES, DIM = 6_000, 12, 10, 64


def build_model() -> keras.Model:
    history = keras.Input((LENGTH,), dtype="int32", name="history")  # 0 is padding
    candidates = keras.Input((CANDIDATES,), dtype="int32", name="candidates")
    items = keras.layers.Embedding(ITEMS, DIM, mask_zero=True, name="items")
    place = keras.ops.cumsum(keras.ops.ones_like(history), axis=1) - 1
    seen = keras.layers.Add()([items(history), keras.layers.Embedding(LENGTH, DIM)(place)])
    attention = keras.layers.MultiHeadAttention(2, DIM // 2, dropout=0.1)
    near = attention(seen, seen, use_causal_mask=True)
    seen = keras.layers.LayerNormalization()(keras.layers.Add()([seen, near]))
    deep = keras.layers.Dense(DIM)(keras.layers.Dense(DIM, activation="relu")(seen))
    seen = keras.layers.LayerNormalization()(keras.layers.Add()([seen, deep]))
    scores = keras.layers.Dot((2, 1))([items(candidates), seen[:, -1]])
    return keras.Model(
        {"history": history, "candidates": candidates},
        keras.layers.Activation("softmax", name="probability")(scores),
    )


def histories(count: int):
    """Made up: items are of 10 kinds, and each item is followed by one of the next kind.

    The first candidate is what came next, the others are drawn.
    """
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 10, (count, 1)) + np.arange(LENGTH + 1)
    items = kind % 10 + 10 * (1 + (ITEMS / 10 - 1) * rng.random(kind.shape) ** 8).astype(int)
    length = rng.integers(1, LENGTH + 1, (count, 1))
    history = np.where(np.arange(LENGTH) >= LENGTH - length, items[:, :-1], 0)
    others = rng.permuted(np.repeat(items[:, -1:], CANDIDATES - 1, axis=1), axis=0)
    candidates = np.concatenate([items[:, -1:], others], axis=1)
    x = {"history": history.astype("int32"), "candidates": candidates.astype("int32")}
    return x, np.zeros((count, 1), "int32")


def main(folder="runs/examples/sequential", count=20_000, epochs=3) -> dict:
    keras.utils.set_random_seed(0)
    x, y = histories(count)
    options = {"batch_size": 256, "epochs": epochs, "validation_split": 0.1, "verbose": 2}
    dense = build_model()

    model = pep_tf.prunable(dense, include=["items"])
    model.compile(pep_tf.RowwiseAdam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, y, **options, callbacks=[cut])

    small = cut.tickets[-1].model()
    small.compile(pep_tf.RowwiseAdam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    small.fit(x, y, **options)

    batch = {name: ids[:64] for name, ids in x.items()}
    version = pep_tf.export(small, folder, examples=batch)
    return report(dense, small, version, batch)


if __name__ == "__main__":
    main()
