"""Models of many kinds that `fit` prunes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.errors import TicketError
from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from tests import any_model, tiny
from tests.training.interrupted import Diary
from tests.training.test_prune_callback import EPOCHS, fitted, nnz_of


def test_inside_a_wrapper():
    ids = keras.Input((2, 2), dtype="int32")
    wrapped = keras.layers.TimeDistributed(keras.layers.Embedding(any_model.WORDS, 3, name="inner"))
    logit = keras.layers.Dense(1)(keras.layers.Flatten()(wrapped(ids)))
    model = pep_tf.prunable(keras.Model(ids, logit))
    model.compile(pep_tf.CoupledAdam(0.01), "mse")
    x = any_model.rows()[0]["words"].reshape(-1, 2, 2)
    cut = pep_tf.PruneCallback({"inner": 9}, -4.0, reporter=Diary())
    model.fit(x, any_model.rows()[1], verbose=0, callbacks=[cut])
    assert nnz_of(cut.tickets[0].model()) == 9


def test_a_table_that_another_model_uses_as_well():
    """A ticket is of one model; the other goes on with the table as it is trained."""
    model = pep_tf.prunable(any_model.sequential())
    table = model.layers[0]
    other = keras.Sequential([keras.Input((4,), dtype="int32"), table])
    cut, _ = fitted(model, [9])
    assert nnz_of(cut.tickets[0].model()) == 9
    x, _ = any_model.batch(model)
    np.testing.assert_allclose(other(x), table.effective_table()[x], atol=1e-6)


def test_two_heads_and_sample_weights():
    given = any_model.inputs("user", "item")
    user = keras.layers.Embedding(any_model.USERS, 4, name="u")(given["user"])
    item = keras.layers.Embedding(any_model.ITEMS, 2, name="i")(given["item"])
    hidden = keras.layers.Concatenate()([user, item])
    heads = {"click": keras.layers.Dense(1)(hidden), "like": keras.layers.Dense(1)(hidden)}
    model = pep_tf.prunable(keras.Model(given, heads))
    model.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), {"click": "mse", "like": "mae"})
    x, y = any_model.batch(model)
    labels, weights = {"click": y, "like": 1 - y}, {"click": y[:, 0] + 1, "like": y[:, 0]}
    cut = pep_tf.PruneCallback(["20%"], check_every=1)
    model.fit(x, labels, sample_weight=weights, epochs=EPOCHS, verbose=0, callbacks=[cut])
    small = cut.tickets[0].model()
    assert set(small(x)) == {"click", "like"}


def test_a_sequence_with_padding():
    ids = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(any_model.WORDS, 3, mask_zero=True)(ids)
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.GRU(3)(embedded)))
    x, y = any_model.rows()[0]["words"], any_model.rows()[1]
    copy = pep_tf.prunable(model, threshold_init=-30.0)
    np.testing.assert_allclose(copy(x), model(x), atol=1e-5)
    copy.compile(pep_tf.CoupledAdam(0.01, threshold_l2=1.0), "mse")
    cut = pep_tf.PruneCallback([10], check_every=1)
    copy.fit(x, y, epochs=EPOCHS, batch_size=16, verbose=0, callbacks=[cut])
    small = cut.tickets[0].model("trained")
    padded = np.where(np.arange(4) < 2, x, 0)
    np.testing.assert_allclose(small(padded), small(padded[:, :3]), atol=1e-6)


def test_a_model_that_is_trained_already():
    model = any_model.functional()
    x, y = any_model.batch(model)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, y, epochs=10, verbose=0)
    cut, _ = fitted(pep_tf.prunable(model), ["30%"])
    original = cut.tickets[0].model()
    kernel = original.layers[-2].kernel if hasattr(original.layers[-2], "kernel") else None
    assert kernel is None or np.array_equal(kernel, model.layers[-2].kernel)
    for name, mask in cut.tickets[0].masks().items():
        trained = model.get_layer(name).embeddings.numpy()
        table = original.get_layer(name).effective_table()
        np.testing.assert_array_equal(table, trained * mask)


def test_a_model_that_its_first_batch_builds_is_trained_by_rows():
    """Which a warning would tell otherwise: a graph that finds the shapes reads no row."""
    model = pep_tf.prunable(any_model.build_fn)
    cut, _ = fitted(model, ["20%"], pep_tf.RowwiseAdam(0.01, dense_below=1), epochs=1)
    assert {table.by_row for table in model.optimizer.tables()} == {True}
    assert cut.tickets[0].nnz == 17


def test_text_is_made_into_words_within_the_model():
    words = keras.layers.TextVectorization(output_sequence_length=4, vocabulary=list("abcdefg"))
    layers = [words, keras.layers.Embedding(9, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
    text = tf.constant([["a b c d"], ["e f g"], ["a a"], ["x"]])
    model = pep_tf.prunable(keras.Sequential([keras.Input((1,), dtype="string"), *layers]))
    model.compile(pep_tf.CoupledAdam(0.01), "mse")
    cut = pep_tf.PruneCallback(["50%"], reporter=Diary())
    model.fit(text, np.ones((4, 1)), verbose=0, callbacks=[cut])
    small = cut.tickets[0].model()
    assert nnz_of(small) == 13
    np.testing.assert_array_equal(small.layers[0](text), words(text))


def test_a_model_that_a_function_makes(tmp_path):
    model = pep_tf.prunable(any_model.build_fn)
    cut, _ = fitted(model, ["20%"])
    x, _ = any_model.batch(model)
    assert nnz_of(cut.tickets[0].model()) == 17
    small = cut.tickets[0].model("trained")  # where entries below their threshold are zero
    cut.tickets[0].save(tmp_path / "ticket")
    again = pep_tf.Ticket.load(tmp_path / "ticket")
    with pytest.raises(TicketError, match=r"give it once more, `ticket.model\(build_fn=...\)`"):
        again.model()
    loaded = again.model("trained", build_fn=any_model.build_fn)
    np.testing.assert_array_equal(loaded(x), small(x))

    def other(embedding):
        model = any_model.Closed(embedding)
        model.dense = keras.layers.Dense(2)
        return model

    with pytest.raises(TicketError, match=r"comes out as another model: .*\['dense_"):
        again.model(build_fn=other)

    def longer(embedding):
        return any_model.build_fn(lambda rows, dim, **named: embedding(rows + 1, dim, **named))

    with pytest.raises(TicketError, match=r"'users' of 13 x 4 numbers, which had 12 x 4\."):
        again.model(build_fn=longer)


def test_a_click_model_of_layers_without_names(tmp_path):
    for _ in range(2):
        model = FM(tiny.FIELDS, PEPEmbedding(16, 4), PEPEmbedding(16, 1))
        model.compile(
            pep_tf.CoupledAdam(0.01, threshold_l2=1.0),
            keras.losses.BinaryCrossentropy(from_logits=True),
        )
        cut = pep_tf.PruneCallback([20], check_every=1)
        model.fit(tiny.DATA.train.ids, tiny.DATA.train.labels, epochs=4, verbose=0, callbacks=[cut])
    cut.tickets[0].save(tmp_path / "ticket")
    small = pep_tf.Ticket.load(tmp_path / "ticket").model()
    assert small.embedding.nnz() + small.first_order.nnz() == 20
