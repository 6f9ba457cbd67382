"""One step of training: what the loop repeats and the benchmarks time."""

import keras
import tensorflow as tf

from pep_tf.optimizers import CoupledAdam


def train_step(
    model: keras.Model,
    optimizer: CoupledAdam,
    ids: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Logits, loss, gradients, update; to be called inside a `tf.function`.

    Args:
        model: maps ids [B, F] to logits [B, 1].
        optimizer: built for the model.
        ids: integers [B, F].
        labels: float32 [B], 0 or 1.
        weights: float32 [B], how much each row counts; None: all alike.

    Returns:
        float32 scalar: mean binary cross-entropy of the batch, before the update; with weights their
        weighted mean, as Keras's reduction `mean_with_sample_weight`.
    """
    with tf.GradientTape() as tape:
        logits = model(ids, training=True)[:, 0]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        if weights is None:
            loss = tf.reduce_mean(losses)
        else:
            total = tf.reduce_sum(losses * weights)
            loss = tf.math.divide_no_nan(total, tf.reduce_sum(weights))
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss
