"""How strongly a model's logit depends on the numbers of its tables."""

import keras
import numpy as np
import tensorflow as tf

from pep_tf.data import CTRData
from pep_tf.layers import look_up_together
from pep_tf.models import CTRModel

_ROWS_AT_ONCE = 1 << 14


def logit_moments(model: CTRModel, data: CTRData) -> dict[keras.layers.Layer, np.ndarray]:
    """The second moments of the logit's gradients by what each table gives to a field.

    A small change e of the embedding of one field changes the log loss by about `e' M e / 2` on
    average, beyond what training has brought to nothing: M is the mean of `p (1 - p) g g'` over the
    training rows and fields, g being the gradient of the logit and p the probability (the
    Gauss-Newton matrix). Reads the training split once.

    Returns:
        For the embedding and the first-order weights each a symmetric float64 [d, d].
    """
    tables = {"embedded": model.embedding, "first_order": model.first_order}
    there = {name: layer for name, layer in tables.items() if layer is not None}
    layers = list(there.values())
    sums = [np.zeros((layer.output_dim, layer.output_dim)) for layer in layers]

    @tf.function(autograph=False, reduce_retracing=True)
    def moments(ids: tf.Tensor) -> list[tf.Tensor]:
        found = look_up_together(layers, model.field_ids(ids))
        given = [model.field_ids.combined(ids, own) for own in found]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(given)
            logits = model.interact(
                **{"embedded": None, **dict(zip(there, given, strict=True))}, training=False
            )
        chance = tf.sigmoid(tf.cast(tf.reshape(logits, [-1, 1, 1]), tf.float32))
        roots = tf.sqrt(chance * (1 - chance))
        gradients = [roots * tf.cast(own, tf.float32) for own in tape.gradient(logits, given)]
        return [tf.einsum("bfc,bfe->ce", own, own) for own in gradients]

    for ids, *_ in data.train.batches(_ROWS_AT_ONCE):
        for total, part in zip(sums, moments(ids), strict=True):
            total += part.numpy()
    count = data.train.num_rows * data.schema.num_fields
    return {layer: total / count for layer, total in zip(layers, sums, strict=True)}
