"""Dropout that does not depend on how many workers share a batch."""

from typing import Any

import keras

from pep_tf.distributed.share import share


@keras.saving.register_keras_serializable(package="pep_tf")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` whose mask is one of the whole batch.

    A worker that trains on a share of a batch drops what it would drop alone, on the whole of it.

    Args:
        *args, **kwargs: as for `keras.layers.Dropout`.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        own = share()
        if own is None or not training or self.rate == 0:
            return super().call(inputs, training=training)
        ones = keras.ops.ones((own.total, *inputs.shape[1:]), inputs.dtype)
        return inputs * own.cut(super().call(ones, training=True))
