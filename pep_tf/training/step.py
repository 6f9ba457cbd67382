"""One step of training: what the loop repeats and the benchmarks time."""

import keras
import tensorflow as tf

from pep_tf.optimizers import CoupledAdam


def train_step(
    model: keras.Model, optimizer: CoupledAdam, ids: tf.Tensor, labels: tf.Tensor
) -> tf.Tensor:
    """Logits, loss, gradients, update; to be called inside a `tf.function`.

    Args:
        model: maps ids [B, F] to logits [B, 1].
        optimizer: built for the model.
        ids: integers [B, F].
        labels: float32 [B], 0 or 1.

    Returns:
        float32 scalar: mean binary cross-entropy of the batch, before the update.
    """
    with tf.GradientTape() as tape:
        logits = model(ids, training=True)[:, 0]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(losses)
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss
