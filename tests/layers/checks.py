"""What every layer must stand: save and reload, mixed precision, XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
each_policy = pytest.mark.parametrize("policy", POLICIES)


def check_config(layer: keras.layers.Layer) -> None:
    """`get_config` says all that there is to say, also after a round trip."""
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again is not layer
    assert again.get_config() == config


def check_reload(layer: keras.layers.Layer, inputs: np.ndarray, path) -> keras.layers.Layer:
    """Saves the layer within a model as `.keras`; returns the reloaded one, of equal outputs."""
    given = keras.Input(inputs.shape[1:], dtype=inputs.dtype.name)
    model = keras.Model(given, layer(given))
    for weight in layer.weights:  # what was initialised to zeros or ones would not show
        if weight.dtype == "float32":
            weight.assign(weight + np.random.default_rng(0).uniform(0.01, 0.05, weight.shape))
    model.save(path / "layer.keras")
    again = keras.saving.load_model(path / "layer.keras")
    np.testing.assert_array_equal(again(inputs), model(inputs))
    return again.layers[-1]


def check_policy(layer: keras.layers.Layer, inputs: np.ndarray, policy: str) -> None:
    """Weights are float32 whatever the layer computes in; gradients are finite."""
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32))
    dtype = policy.removeprefix("mixed_")
    assert outputs.dtype == dtype
    assert (
        layer.compute_output_spec(keras.KerasTensor(inputs.shape, inputs.dtype.name)).dtype == dtype
    )
    assert {weight.dtype for weight in layer.weights} <= {"float32", "bool"}
    for gradient in tape.gradient(loss, layer.trainable_weights):
        assert gradient.dtype == tf.float32
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


def check_jit(layer: keras.layers.Layer, inputs: np.ndarray) -> None:
    """Outputs and gradients under XLA are those of eager execution."""

    def run(inputs):
        with tf.GradientTape() as tape:
            outputs = layer(inputs)
            loss = tf.reduce_sum(tf.square(outputs))
        gradients = tape.gradient(loss, layer.trainable_weights)
        return [outputs, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

    layer(inputs)
    inputs = tf.constant(inputs)
    compiled = tf.function(run, jit_compile=True)(inputs)
    for one, other in zip(compiled, run(inputs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
