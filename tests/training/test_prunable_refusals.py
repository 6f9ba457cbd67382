"""Models that cannot be made prunable, each named in one line."""

import keras
import pytest

import pep_tf
from pep_tf.errors import ModelError
from pep_tf.layers import PEPEmbedding
from tests import any_model
from tests.training.test_prunable import tables


def test_a_table_that_two_models_use_is_replaced_in_one_of_them():
    table = keras.layers.Embedding(any_model.WORDS, 3, name="table")
    one, other = (keras.Sequential([keras.Input((4,), dtype="int32"), table]) for _ in range(2))
    copy = pep_tf.prunable(one)
    assert isinstance(copy.get_layer("table"), PEPEmbedding)
    assert one.get_layer("table") is other.get_layer("table") is table


def test_layers_that_the_configuration_does_not_hold():
    with pytest.raises(
        ModelError,
        match=r"Closed makes its layers .*'users'\].* `get_config`.*prunable\(build_fn\)",
    ):
        pep_tf.prunable(any_model.built(any_model.Closed()))


def test_a_model_without_a_configuration():
    @keras.saving.register_keras_serializable(package="tests")
    class Opaque(keras.Model):
        def __init__(self, table):
            super().__init__()
            self.table = table

        def call(self, ids):
            return self.table(ids)

    with pytest.raises(ModelError, match=r"^.*get_config.*prunable\(build_fn\)[^\n]*$"):
        pep_tf.prunable(Opaque(keras.layers.Embedding(3, 2)))


def test_a_class_that_is_not_registered():
    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    ids = keras.Input((4,), dtype="int32")
    model = keras.Model(ids, Doubled()(keras.layers.Embedding(9, 3)(ids)))
    with pytest.raises(ModelError, match=r"classes \['Doubled'\] are not registered"):
        pep_tf.prunable(model)
    with keras.saving.custom_object_scope({"Doubled": Doubled}):
        assert len(tables(pep_tf.prunable(model))) == 1


def test_a_function_that_is_not_registered():
    def third(x):
        return x / 3

    ids = keras.Input((4,), dtype="int32")
    dense = keras.layers.Dense(1, activation=third)
    model = keras.Model(ids, dense(keras.layers.Embedding(9, 3)(ids)))
    with pytest.raises(ModelError, match="'third'"):
        pep_tf.prunable(model)


def test_no_embedding():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ModelError, match="must have a keras.layers.Embedding to prune.*: none"):
        pep_tf.prunable(model)
    with pytest.raises(ModelError, match=r"'user_table'\], all frozen or left out"):
        pep_tf.prunable(any_model.functional(), include=[])
    with pytest.raises(ModelError, match="It asked for none"):
        pep_tf.prunable(lambda embedding: any_model.sequential())


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("make", [any_model.functional, lambda: any_model.build_fn])
def test_a_name_that_no_embedding_has(option, make):
    with pytest.raises(ModelError, match=r"which has \[.*Received: \['price'\]"):
        pep_tf.prunable(make(), **{option: ["price"]})
    with pytest.raises(ModelError, match=f"`{option}` must be a list of names. Received: 'price'"):
        pep_tf.prunable(make(), **{option: "price"})


def test_an_embedding_that_does_more():
    @keras.saving.register_keras_serializable(package="tests")
    class Scaled(keras.layers.Embedding):
        def call(self, ids):
            return 3 * super().call(ids)

    ids = keras.Input((4,), dtype="int32")
    model = keras.Model(ids, Scaled(9, 3, name="scaled")(ids))
    with pytest.raises(ModelError, match=r"'scaled' is a Scaled with a `call` of its own.*exclude"):
        pep_tf.prunable(model)
    lora = any_model.functional()
    lora.get_layer("item_table").enable_lora(2)
    with pytest.raises(ModelError, match="'item_table' is a Embedding with LoRA"):
        pep_tf.prunable(lora)


def test_functions_that_do_not_do():
    with pytest.raises(ModelError, match="must return a keras.Model. Received: 3"):
        pep_tf.prunable(lambda embedding: 3)
    with pytest.raises(ModelError, match="must give its embeddings different names.*'a'"):
        pep_tf.prunable(lambda embedding: [embedding(3, 2, name="a"), embedding(3, 2, name="a")])
    with pytest.raises(ModelError, match="must be a keras.Model, or a function.*Received: 'fm'"):
        pep_tf.prunable("fm")
