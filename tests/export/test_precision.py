import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.export.precision import in_float32, precision_of, whole_products
from tests import tiny

IDS = tf.TensorSpec([None, 3], tf.int32)
FLOATS = tf.TensorSpec([None, 3], tf.float32)


@pytest.mark.parametrize("name", ["fm", "deepfm", "autoint", "linear"])
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_what_a_model_computes_in(name, precision):
    policy = "float32" if precision == "float32" else f"mixed_{precision}"
    model = tiny.model(name, dtype=policy)
    assert precision_of(model, IDS) == model.compute_dtype == precision
    before = model(tiny.DATA.test.ids)
    with in_float32(model):
        assert precision_of(model, IDS) == "float32"
        exact = model(tiny.DATA.test.ids)
    assert precision_of(model, IDS) == precision
    np.testing.assert_array_equal(model(tiny.DATA.test.ids), before)
    if precision == "float32":
        np.testing.assert_array_equal(exact, before)
    elif name != "linear":  # whose weights start at zero
        assert 0 < np.abs(exact - before).max() < 0.1


def test_one_layer_is_enough():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, dtype="mixed_float16"), keras.layers.Dense(1)]
    )
    assert precision_of(model, FLOATS) == "float16"


def test_the_coarser_one_counts():
    def both(x):
        return tf.cast(tf.cast(x, tf.float16), tf.float32) + tf.cast(
            tf.cast(x, tf.bfloat16), x.dtype
        )

    assert precision_of(both, FLOATS) == "bfloat16"


def test_what_a_function_casts_by_hand_inside_another():
    inner = tf.function(lambda x: tf.cast(tf.cast(x, tf.bfloat16) ** 2, tf.float32))
    assert precision_of(lambda x: inner(x) + 1, FLOATS) == "bfloat16"
    assert precision_of(lambda x: x + 1, FLOATS) == "float32"


def test_policies_come_back_after_an_error():
    model = tiny.model("deepfm", dtype="mixed_bfloat16")
    with pytest.raises(KeyError), in_float32(model):
        raise KeyError
    assert precision_of(model, IDS) == "bfloat16"


def test_products_on_a_gpu_are_whole_for_a_while():
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    before = enabled()
    with whole_products():
        assert not enabled()
    assert enabled() == before
