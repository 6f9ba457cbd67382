"""What all models share."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import PEPEmbedding
from pep_tf.models import (
    DCN,
    FM,
    MODELS,
    AutoInt,
    CTRModel,
    DeepFM,
    Linear,
    build_model,
    options_among,
)
from tests import tiny
from tests.layers.checks import each_policy

IDS, LABELS = tiny.DATA.train.ids, tiny.DATA.train.labels
N = sum(tiny.FIELDS.values())
each_model = pytest.mark.parametrize("name", MODELS)
OUTSIDE = [
    (0, 5, r"field `user` \(column 0\) must be in \[0, 5\)"),
    (1, -1, r"field `item` \(column 1\) must be in \[0, 7\)"),
    (2, 2**31 + 1, r"field `hour` \(column 2\) must be in \[0, 4\)"),
]


def ids_with(column: int, wrong: int) -> np.ndarray:
    ids = IDS[:6].astype(np.int64)
    ids[3, column] = wrong
    return ids


def shaken(model: CTRModel) -> CTRModel:
    """Moves weights that start at zero or one, which hide what is lost."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.dtype == "float32" and weight.name != "thresholds":
            weight.assign(weight + rng.uniform(0.01, 0.1, weight.shape))
    return model


@each_model
def test_reload(name, tmp_path):
    model = shaken(tiny.model(name, threshold_init=-3.0))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    np.testing.assert_array_equal(again(IDS), model(IDS))
    assert json.dumps(again.get_config()) == json.dumps(model.get_config())
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@each_model
def test_reload_of_a_mixed_model_under_another_policy(name, tmp_path, dtype_policy):
    dtype_policy("mixed_bfloat16")
    model = shaken(tiny.model(name, pruning="none"))
    outputs = model(IDS)
    assert outputs.dtype == tf.float32
    assert {w.dtype for w in model.weights} == {"float32"}
    rounded = tf.cast(tf.cast(outputs, tf.bfloat16), tf.float32)
    np.testing.assert_array_equal(outputs, rounded)  # it was computed in half precision
    model.save(tmp_path / "model.keras")
    dtype_policy("float32")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(IDS), outputs)


@each_policy
def test_policy_by_argument(policy):
    embedding = keras.layers.Embedding(N, 4, dtype=policy)
    for kind in (FM, AutoInt, DCN):
        model = kind(tiny.FIELDS, embedding, dtype=policy)
        assert model(IDS).dtype == tf.float32
        inner = {layer.compute_dtype for layer in model._flatten_layers() if layer.weights}
        assert inner == {policy.removeprefix("mixed_")}


def test_fit_in_mixed_precision(dtype_policy):
    dtype_policy("mixed_float16")  # for which Keras scales the loss
    model = tiny.model("deepfm")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
    before = model.embedding.table.numpy()
    loss = model.fit(IDS, LABELS, verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    assert np.abs(model.embedding.table.numpy() - before).max() > 0


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (FM, {}),
        (DeepFM, {"mlp_widths": (8,)}),
        (DCN, {"mlp_widths": (8,), "cross_layers": 2}),
        (AutoInt, {"mlp_widths": (), "attention": {"width": 4, "layers": 1}}),
    ],
)
def test_stock_embedding_and_stock_adam(kind, options, tmp_path):
    keras.utils.set_random_seed(0)
    model = kind(tiny.FIELDS, keras.layers.Embedding(N, 4), **options)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(from_logits=True))
    losses = model.fit(IDS, LABELS, batch_size=50, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.02
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(IDS), model(IDS))


@pytest.mark.parametrize(("column", "wrong", "message"), OUTSIDE)
def test_an_id_outside_its_field_when_called(column, wrong, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tiny.model("fm")(ids_with(column, wrong))


@pytest.fixture(scope="module")
def compiled():
    model = tiny.model("fm")
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("method", ["fit", "predict", "evaluate"])
@pytest.mark.parametrize(("column", "wrong", "message"), OUTSIDE)
def test_an_id_outside_its_field_in_keras_loops(compiled, method, column, wrong, message):
    before = compiled.get_weights()
    ids = ids_with(column, wrong)
    labels = () if method == "predict" else (np.zeros(len(ids)),)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        getattr(compiled, method)(ids, *labels, verbose=0)
    for one, other in zip(before, compiled.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fit_asked_for_jit_keeps_the_checks():
    model = tiny.model("fm")
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model.compile("adam", "binary_crossentropy", jit_compile=True)
    model.fit(IDS, LABELS, verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="field `user`"):
        model.fit(ids_with(0, 5), LABELS[:6], verbose=0)


@each_model
def test_step_under_xla(name):
    small = options_among(name, {"attention": {"width": 4, "layers": 1}, "dropout": 0.0})
    model = shaken(tiny.model(name, threshold_init=-3.0, **small))

    def step(ids):
        with tf.GradientTape() as tape:
            logits = model(ids, training=True)
        gradients = tape.gradient(logits, model.trainable_variables)
        return [logits, *(tf.convert_to_tensor(g) for g in gradients)]

    ids = tf.constant(IDS[:20])
    for one, other in zip(tf.function(step, jit_compile=True)(ids), step(ids), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@each_model
def test_functional_use(name):
    given = keras.Input((3,), dtype="int32")
    model = tiny.model(name)
    probability = keras.layers.Activation("sigmoid")(model(given))
    outer = keras.Model(given, probability)
    np.testing.assert_allclose(outer(IDS[:5]), tf.sigmoid(model(IDS[:5])), rtol=1e-6)


def test_an_embedding_that_is_built_already_stays():
    embedding = PEPEmbedding(N, 4)
    embedding(IDS)
    table = embedding.table.numpy()
    model = FM(tiny.FIELDS, embedding)
    model.build()
    np.testing.assert_array_equal(model.embedding.table, table)


@pytest.mark.parametrize("fields", [{}, {"user": 0}])
def test_fields(fields):
    message = "`fields` must map names to integer sizes of at least 1. Received"
    with pytest.raises(ValueError, match=message):
        FM(fields, keras.layers.Embedding(5, 2))
    with pytest.raises(ValueError, match=message):
        Linear(fields)
    with pytest.raises(ValueError, match=message):
        build_model("deepfm", fields)


def test_number_of_columns():
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        tiny.model("fm")(IDS[:, :2])


def test_a_model_must_say_how_it_interacts():
    model = CTRModel(tiny.FIELDS, keras.layers.Embedding(N, 2), None)
    with pytest.raises(NotImplementedError, match="CTRModel must define `interact`"):
        model(IDS)
