"""A model trained on one device and on two: `python -m tests.optimizers.mirrored`.

Two devices have to be asked for before TensorFlow begins to work.
"""

import json

import keras
import numpy as np
import tensorflow as tf

import pep_tf

OPTIMIZERS = {
    "coupled": lambda: pep_tf.CoupledAdam(0.01),
    "rowwise": lambda: pep_tf.RowwiseAdam(0.01, dense_below=1),
    "adam": lambda: keras.optimizers.Adam(0.01),
}


def trained(optimizer: str) -> list[np.ndarray]:
    """The weights after an epoch of ids that repeat within a batch."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((2,), dtype="int32")
    embedded = pep_tf.PEPEmbedding(9, 3, threshold_init=-4.0)(ids)
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(embedded))
    model = keras.Model(ids, logits)
    model.compile(OPTIMIZERS[optimizer](), "mse")
    x = np.random.default_rng(0).integers(0, 7, (32, 2)).astype(np.int32)
    data = tf.data.Dataset.from_tensor_slices((x, x[:, :1] % 2 * 1.0)).batch(8)
    model.fit(data, verbose=0, shuffle=False)
    model.evaluate(data, verbose=0)
    return model.get_weights()


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    told = {}
    for name in OPTIMIZERS:
        alone = trained("coupled" if name == "rowwise" else name)
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            try:
                both = trained(name)
                told[name] = max(
                    float(np.abs(a - b).max()) for a, b in zip(alone, both, strict=True)
                )
            except Exception as error:
                told[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(told))
