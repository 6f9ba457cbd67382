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


def test_the_embedding_has_one_name_whoever_made_it():
    embedding = PEPEmbedding(16, 4, name="mine")
    embedding.build()
    model = FM(tiny.FIELDS, embedding)
    model.build()
    names = named_weights(model)
    assert names["embedding/table"] is embedding.table
    assert names["embedding/thresholds"] is embedding.thresholds


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
