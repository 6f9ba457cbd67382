import keras
import numpy as np

from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from pep_tf.training.weights import assign, named_weights, snapshot
from tests import tiny


def test_names_do_not_depend_on_how_many_models_there_were():
    one, other = tiny.model("deepfm"), tiny.model("deepfm")
    assert set(named_weights(one)) == set(named_weights(other))
    assert {"embedding/table", "embedding/thresholds", "first_order/table", "bias"} < set(
        named_weights(one)
    )
    assert len(named_weights(one)) == len(one.weights)


def test_layers_without_names_are_numbered_by_their_place():
    models = [FM(tiny.FIELDS, PEPEmbedding(16, 4), PEPEmbedding(16, 1)) for _ in range(2)]
    for model in models:
        model.build()
        names = named_weights(model)
        assert names["pep_embedding/table"] is model.embedding.table
        assert names["pep_embedding_1/thresholds"] is model.first_order.thresholds
    assert set(named_weights(models[0])) == set(named_weights(models[1]))


class Twins(keras.Model):
    def __init__(self):
        super().__init__()
        self.one = keras.layers.Dense(3, name="same")
        self.other = keras.layers.Dense(4, name="same")

    def call(self, x):
        return self.other(self.one(x))


def test_layers_of_one_name_are_told_apart():
    model = Twins()
    model(np.zeros((1, 2)))
    assert {name: tuple(v.shape) for name, v in named_weights(model).items()} == {
        "same/kernel": (2, 3),
        "same/bias": (3,),
        "same~2/kernel": (3, 4),
        "same~2/bias": (4,),
    }


def test_a_model_without_embedding():
    assert set(named_weights(tiny.model("linear"))) == {"first_order/table", "bias"}


def test_a_snapshot_is_a_copy_that_can_be_put_back():
    model = tiny.model("autoint")
    taken = snapshot(model)
    before = {name: value.copy() for name, value in taken.items()}
    for weight in model.weights:
        weight.assign(weight + 1)
    for name, value in taken.items():
        np.testing.assert_array_equal(value, before[name])
    assign(model, taken)
    for name, variable in named_weights(model).items():
        np.testing.assert_array_equal(variable, before[name])


def test_assign_sets_only_what_is_named():
    model = tiny.model("fm")
    table = keras.ops.convert_to_numpy(model.embedding.table)
    assign(model, {"bias": np.array([2.5])})
    np.testing.assert_array_equal(model.bias, [2.5])
    np.testing.assert_array_equal(model.embedding.table, table)
