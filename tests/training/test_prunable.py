"""Embeddings of any model replaced by ones that learn what to keep."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.errors import ModelError
from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from tests import any_model, tiny


def tables(model: keras.Model) -> dict[str, PEPEmbedding]:
    return {x.name: x for x in model._flatten_layers() if isinstance(x, PEPEmbedding)}


@pytest.mark.parametrize("kind", any_model.KINDS)
def test_the_copy_answers_as_the_model_does(kind):
    model = any_model.KINDS[kind]()
    model.compile("adam", "mse")
    x, y = any_model.batch(model)
    model.fit(x, y, verbose=0)
    before = [np.array(v) for v in model.variables]
    copy = pep_tf.prunable(model, threshold_init=-30.0)
    assert not [x for x in copy._flatten_layers() if isinstance(x, keras.layers.Embedding)]
    np.testing.assert_allclose(copy(x), model(x), atol=1e-6)
    assert not copy.compiled
    copy.compile("adam", "mse")
    copy.fit(x, y, epochs=2, verbose=0)
    assert not np.allclose(copy(x), model(x), atol=1e-5)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_arguments_and_options():
    model = any_model.functional()
    copy = pep_tf.prunable(model, granularity="dimension", threshold_init=-4.0)
    found = tables(copy)
    assert {name: (x.input_dim, x.output_dim) for name, x in found.items()} == {
        "user_table": (12, 4),
        "item_table": (20, 3),
        "item_bias": (20, 1),
    }
    for layer in found.values():
        assert layer.granularity.name == "dimension"
        assert layer.threshold_init == -4.0
        assert isinstance(layer.embeddings_initializer, keras.initializers.RandomUniform)
    assert copy.name == model.name
    assert [x.name for x in copy.layers] == [x.name for x in model.layers]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"exclude": ["item_bias"]}, {"user_table", "item_table"}),
        ({"include": ["item_table"]}, {"item_table"}),
        ({"include": ["item_table", "item_bias"], "exclude": ("item_bias",)}, {"item_table"}),
    ],
)
def test_a_choice_by_name(choice, expected):
    model = any_model.functional()
    copy = pep_tf.prunable(model, **choice)
    assert set(tables(copy)) == expected
    x, _ = any_model.batch(model)
    np.testing.assert_allclose(
        copy(x), model(x), atol=1e-5
    )  # thresholds of -15 take 3e-7 of each entry


def test_names_that_are_not_unique_are_paths():
    copy = pep_tf.prunable(any_model.two_towers(), include=["user_tower/embedding"])
    assert isinstance(copy.get_layer("user_tower").get_layer("embedding"), PEPEmbedding)
    assert isinstance(copy.get_layer("item_tower").get_layer("embedding"), keras.layers.Embedding)


def test_a_shared_table_stays_shared():
    copy = pep_tf.prunable(any_model.shared_table())
    first, second = copy.get_layer("first"), copy.get_layer("second")
    assert first.get_layer("items") is second.get_layer("items")
    assert len(tables(copy)) == 1


def test_what_is_pruned_already_stays():
    once = pep_tf.prunable(any_model.functional(), exclude=["item_bias"])
    twice = pep_tf.prunable(once, threshold_init=-3.0)
    assert {n: x.threshold_init for n, x in tables(twice).items()} == {
        "user_table": -15.0,
        "item_table": -15.0,
        "item_bias": -3.0,
    }
    x, _ = any_model.batch(once)
    np.testing.assert_allclose(twice(x), once(x), atol=0.05)
    assert pep_tf.prunable(twice) is twice


def test_inside_a_wrapper():
    ids = keras.Input((2, 2), dtype="int32")
    wrapped = keras.layers.TimeDistributed(keras.layers.Embedding(9, 3, name="inner"))(ids)
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(wrapped)))
    copy = pep_tf.prunable(model, include=["inner"], threshold_init=-30.0)
    assert isinstance(copy.layers[1].layer, PEPEmbedding)
    x = any_model.rows()[0]["words"].reshape(-1, 2, 2)
    np.testing.assert_allclose(copy(x), model(x), atol=1e-6)


def test_a_vocabulary_that_was_adapted_comes_along():
    text = keras.Input((), dtype="string")
    lookup = keras.layers.StringLookup()
    lookup.adapt(np.array(["a", "b", "c"]))
    scale = keras.layers.Normalization()
    scale.adapt(np.array([[1.0], [5.0]]))
    embedded = scale(keras.layers.Embedding(4, 1)(lookup(text)))
    model = keras.Model(text, embedded)
    copy = pep_tf.prunable(model, threshold_init=-30.0)
    x = np.array(["c", "a", "z"])
    np.testing.assert_allclose(copy(x), model(x), atol=1e-6)


def test_trainable_flags_and_dtypes_come_along():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = any_model.subclassed()
    finally:
        keras.config.set_dtype_policy("float32")
    model.hidden[0].trainable = False
    with pytest.raises(ModelError, match="is in mixed_bfloat16, 'dense.*in float32"):
        pep_tf.prunable(model)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        copy = pep_tf.prunable(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert [x.trainable for x in copy.hidden] == [False, True]
    assert len(copy.trainable_variables) == 2 * 2 + 2
    assert copy.user.compute_dtype == "bfloat16"


def test_a_model_that_was_not_built():
    layers = [keras.layers.Embedding(9, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
    copy = pep_tf.prunable(keras.Sequential(layers))
    assert not copy.built
    assert copy(any_model.rows()[0]["words"]).shape == (64, 1)


def test_a_lambda():
    ids = keras.Input((4,), dtype="int32")
    mean = keras.layers.Lambda(lambda x: x[:, 0] + x[:, 1])(keras.layers.Embedding(9, 3)(ids))
    model = keras.Model(ids, mean)
    x = any_model.rows()[0]["words"]
    np.testing.assert_allclose(pep_tf.prunable(model)(x), model(x), atol=1e-5)
    last = keras.layers.Lambda(lambda x: keras.ops.sum(x, 1), name="last")  # a copy has no `keras`
    with pytest.raises(ModelError, match=r"Lambda layer 'last' uses \['keras'\] of its module"):
        pep_tf.prunable(keras.Sequential([keras.layers.Embedding(9, 3), last]))


def test_a_model_that_a_function_makes():
    copy = pep_tf.prunable(any_model.build_fn, threshold_init=-4.0)
    assert set(tables(copy)) == {"users", "embedding"}
    one = pep_tf.prunable(any_model.build_fn, exclude=["embedding"])
    assert set(tables(one)) == {"users"}


def test_a_click_model():
    model = FM(tiny.FIELDS, keras.layers.Embedding(16, 4))
    model(tiny.DATA.test.ids)
    copy = pep_tf.prunable(model, threshold_init=-30.0)
    assert isinstance(copy, FM)
    assert isinstance(copy.embedding, PEPEmbedding)
    ids = tiny.DATA.test.ids
    np.testing.assert_allclose(copy(ids), model(ids), atol=1e-6)


def bag_class() -> type:
    """`keras_rs.layers.EmbedReduce`, or one like it where keras-rs is not installed."""
    try:
        from keras_rs.layers import EmbedReduce
    except ImportError:

        class EmbedReduce(keras.layers.Embedding):
            def __init__(self, *args, combiner="mean", **kwargs):
                super().__init__(*args, **kwargs)
                self.combiner = combiner

            def call(self, inputs, weights=None):
                x = super().call(inputs)
                if len(x.shape) < 3:
                    return x if weights is None else x * weights[:, None]
                counts = keras.ops.ones_like(x[..., :1]) if weights is None else weights[..., None]
                total = keras.ops.sum(x * counts, -2)
                return total / keras.ops.sum(counts, -2) if self.combiner == "mean" else total

            def compute_output_spec(self, inputs, weights=None):
                shape = (inputs.shape[0], self.output_dim)
                return keras.KerasTensor(shape, dtype=self.compute_dtype)

            def get_config(self):
                return {**super().get_config(), "combiner": self.combiner}

        EmbedReduce.__module__ = "keras_rs.layers"
        keras.saving.register_keras_serializable(package="keras_rs")(EmbedReduce)
    return EmbedReduce


def test_a_bag_of_keras_rs():
    kind = bag_class()
    words, item = keras.Input((4,), dtype="int32"), keras.Input((), dtype="int32")
    weights = keras.Input((4,))
    bags = [
        kind(any_model.WORDS, 3, name="mean")(words),
        kind(any_model.WORDS, 3, combiner="sum", name="sum")(words, weights=weights),
        kind(any_model.ITEMS, 2, combiner="sum", name="one")(item),
    ]
    model = keras.Model([words, weights, item], keras.layers.Concatenate()(bags))
    copy = pep_tf.prunable(model, threshold_init=-30.0)
    assert {n: x.combiner for n, x in tables(copy).items()} == {
        "mean": "mean",
        "sum": "sum",
        "one": "sum",
    }
    named, _ = any_model.rows()
    x = [named["words"], np.linspace(0.1, 1.0, 256).reshape(64, 4), named["item"]]
    np.testing.assert_allclose(copy(x), model(x), atol=1e-6)
    masked = kind(any_model.WORDS, 3, mask_zero=True, name="masked")
    with pytest.raises(ModelError, match="'masked' is a EmbedReduce with `mask_zero`, whose id 0"):
        pep_tf.prunable(keras.Sequential([keras.Input((4,), dtype="int32"), masked]))


# What cannot be done is said in one line.


def test_a_frozen_table_stays_unless_it_is_named():
    model = any_model.functional()
    model.get_layer("user_table").trainable = False
    copy = pep_tf.prunable(model)
    assert set(tables(copy)) == {"item_table", "item_bias"}
    assert not copy.get_layer("user_table").trainable
    x, _ = any_model.batch(model)
    np.testing.assert_allclose(copy(x), model(x), atol=1e-5)
    with pytest.raises(ModelError, match="'user_table' is not trainable"):
        pep_tf.prunable(model, include=["user_table"])


@keras.saving.register_keras_serializable(package="tests")
class OwnStep(keras.Model):
    """A functional model with a `train_step` of its own, which counts its calls."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def test_a_step_of_ones_own_prunes_ragged_bags():
    given = keras.Input((None,), dtype="int32", name="tags", ragged=True)
    table = PEPEmbedding(20, 4, combiner="mean", name="tags_table")
    model = pep_tf.prunable(OwnStep(given, keras.layers.Dense(1)(table(given))))
    assert type(model) is OwnStep
    bags = tf.RaggedTensor.from_row_lengths(np.arange(60) % 20, [0, 1, 2, 3] * 10)
    labels = np.arange(40, dtype=np.float32)[:, None] % 2
    model.compile(pep_tf.RowwiseAdam(1e-2), "mse")
    cut = pep_tf.PruneCallback(["25%"], reporter=pep_tf.training.Silent())
    model.fit(bags, labels, epochs=2, verbose=0, callbacks=[cut])
    small = cut.tickets[0].model()
    assert type(small) is OwnStep
    small.compile(pep_tf.RowwiseAdam(1e-2), "mse")
    small.fit(bags, labels, verbose=0)
    assert small.get_layer("tags_table").nnz() == cut.tickets[0].nnz == 20
    np.testing.assert_allclose(pep_tf.packed(small)(bags), small(bags), atol=1e-6)
