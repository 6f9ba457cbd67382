"""A text classifier: strings in, a sequential model, and a vocabulary of which most can go.

    python -m examples.text_classifier

After https://keras.io/examples/nlp/text_classification_from_scratch
"""

import keras
import numpy as np
import tensorflow as tf

import pep_tf
from examples.report import report

VOCABULARY = [f"word{i}" for i in range(10_000)]


def build_model() -> keras.Model:
    words = keras.layers.TextVectorization(output_sequence_length=30, vocabulary=VOCABULARY)
    return keras.Sequential(
        [
            keras.Input((1,), dtype="string", name="text"),
            words,
            keras.layers.Embedding(len(VOCABULARY) + 2, 64, name="words"),
            keras.layers.Conv1D(64, 3, activation="relu"),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, activation="sigmoid", name="positive"),
        ]
    )


def reviews(count: int):
    """Made up: of the common words one in ten is praise and one in ten blame; the rest says nothing."""
    rng = np.random.default_rng(0)
    words = (len(VOCABULARY) * rng.random((count, 30)) ** 3).astype(int)
    score = np.sum(words % 10 == 0, axis=1) - np.sum(words % 10 == 1, axis=1)
    label = score + rng.normal(size=count) > 0
    text = [" ".join(VOCABULARY[i] for i in row) for row in words]
    return tf.constant(text)[:, None], label.astype("float32")[:, None]


def main(folder="runs/examples/text_classifier", count=10_000, epochs=4) -> dict:
    keras.utils.set_random_seed(0)
    x, y = reviews(count)
    options = {"batch_size": 128, "epochs": epochs, "validation_split": 0.1, "verbose": 2}
    dense = build_model()

    model = pep_tf.prunable(dense)
    model.compile(pep_tf.RowwiseAdam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    cut = pep_tf.PruneCallback(budgets=["10%"])
    model.fit(x, y, **options, callbacks=[cut])

    small = cut.tickets[-1].model()
    small.compile(pep_tf.RowwiseAdam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    small.fit(x, y, **options)

    batch = x[:64]
    version = pep_tf.export(small, folder, examples=batch)
    return report(dense, small, version, batch)


if __name__ == "__main__":
    main()
