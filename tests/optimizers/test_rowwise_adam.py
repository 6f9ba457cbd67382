"""The rowwise update against the dense one, which is its oracle."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import pep_tf
from pep_tf.device import GPU, traced_for
from pep_tf.layers import GRANULARITIES, PEPEmbedding, TicketEmbedding, share_rows
from pep_tf.models import build_model
from pep_tf.optimizers import CoupledAdam, RowwiseAdam

lazy_adam = functools.partial(RowwiseAdam, dense_below=0)  # however small the table
FIELDS = {"user": 40, "item": 60, "place": 25}


def model_of(granularity="feature_dim", pruning="threshold", fields=FIELDS):
    return build_model(
        "fm",
        fields,
        embedding_dim=4,
        granularity=granularity,
        threshold_init=-4.0,
        pruning=pruning,
        seed=3,
    )


def batches(steps, rows=8, fields=FIELDS, seed=0):
    """Skewed ids, so that rows come again after gaps of many lengths, or never."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        ids = [np.minimum(rng.zipf(1.3, rows) - 1, size - 1) for size in fields.values()]
        yield np.stack(ids, 1).astype(np.int32), (rng.random(rows) < 0.3).astype(np.float32)


def train(optimizer, model, data, look=False):
    """A custom loop; returns V and s at the end."""
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(ids, labels):
        with tf.GradientTape() as tape:
            logits = model(ids, training=True)[:, 0]
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    for ids, labels in data:
        step(tf.constant(ids), tf.constant(labels))
        if look:
            model.embedding.nnz()
            model.embedding.current()
            model(ids)
    return model.embedding.current()


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_rows_of_every_batch_follow_the_dense_update(granularity):
    fields = {"a": 8, "b": 8}
    ids = np.stack([np.arange(8), np.arange(8)[::-1]], 1).astype(np.int32)
    rng = np.random.default_rng(1)
    data = [(ids, (rng.random(8) < 0.5).astype(np.float32)) for _ in range(60)]
    dense = train(CoupledAdam(), model_of(granularity, fields=fields), data)
    rowwise = train(lazy_adam(), model_of(granularity, fields=fields), data)
    for one, other in zip(dense, rowwise, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("granularity", ["feature_dim", "feature", "field", "global"])
def test_gaps_are_made_up_for(granularity):
    data = list(batches(400))
    hyper = {"learning_rate": 1e-3, "l2": 1e-5}
    dense = train(CoupledAdam(**hyper), model_of(granularity), data)
    rowwise = train(lazy_adam(**hyper), model_of(granularity), data)
    error = np.abs(rowwise[0] - dense[0]) / 0.22  # limit of V0 for a table of 125 x 4
    assert np.quantile(error, 0.99) < 0.03
    assert error.max() < 0.1
    assert np.quantile(np.abs(rowwise[1] - dense[1]), 0.99) < 0.03
    np.testing.assert_allclose(rowwise[1], dense[1], rtol=0.03)


def test_looking_changes_nothing():
    data = list(batches(60))
    watched = train(lazy_adam(), model_of(), data, look=True)
    alone = train(lazy_adam(), model_of(), data)
    for one, other in zip(watched, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_first_order_weights_are_updated_alike():
    data = list(batches(200))
    dense, rowwise = model_of(), model_of()
    train(CoupledAdam(), dense, data)
    train(lazy_adam(), rowwise, data)
    one, _ = dense.first_order.current()
    other, _ = rowwise.first_order.current()
    np.testing.assert_allclose(other, one, atol=3e-4)


def test_fit_does_what_a_custom_loop_does():
    data = list(batches(30))
    by_loop = train(lazy_adam(), model_of(), data)
    model, optimizer = model_of(), lazy_adam()
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    ids = np.concatenate([ids for ids, _ in data])
    labels = np.concatenate([labels for _, labels in data])
    model.fit(ids, labels, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(by_loop, model.embedding.current(), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_a_layer_that_is_used_twice_in_a_step():
    """Its gradient comes for two lookups at once, with ids in both."""

    def trained(optimizer):
        keras.utils.set_random_seed(0)
        inputs = keras.Input([4], dtype="int32")
        layer = PEPEmbedding(10, 3, pruning="none", name="shared")
        both = keras.layers.Add()([layer(inputs[:, :2]), layer(inputs[:, 2:])])
        outputs = keras.layers.Dense(1)(keras.layers.Flatten()(both))
        model = keras.Model(inputs, outputs)
        model.compile(optimizer, "mse", jit_compile=False)
        rng = np.random.default_rng(0)
        model.fit(rng.integers(0, 10, (64, 4)), rng.random((64, 1)), shuffle=False, verbose=0)
        return layer.current()[0]

    np.testing.assert_allclose(trained(lazy_adam()), trained(CoupledAdam()), atol=1e-5)


class Halves(keras.Model):
    """Says that two embeddings are looked up together, and looks up one."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = (PEPEmbedding(10, 3, pruning="none", name=n) for n in "ab")

    def build(self, input_shape):
        self.used.build()
        self.idle.build()
        share_rows([self.used, self.idle])
        self.built = True

    def call(self, rows):
        return tf.reduce_sum(self.used(rows), axis=(1, 2))[:, None]


def test_a_table_without_its_gradient_is_named():
    model = Halves()
    model.build((None, 2))
    model.compile(lazy_adam(), "mse", jit_compile=False)
    message = r"b/table'\] had no gradient"
    with pytest.raises(ValueError, match=message):
        model.fit(np.zeros([8, 2], np.int32), np.zeros(8), verbose=0)


def test_steps_beyond_float32_integers_stay_exact():
    model, optimizer = model_of(), lazy_adam()
    optimizer.build(model.trainable_variables)
    start = 2**24 + 1
    optimizer.iterations.assign(start)

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(ids))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    step(tf.zeros([1, 3], tf.int32))
    lazy = optimizer.tables()[0]
    assert lazy.last.raw.numpy().view(np.int32)[0] == start + 1


def test_learning_rates_that_change_are_refused():
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    with pytest.raises(ValueError, match="`learning_rate` must be a number"):
        lazy_adam(schedule)
    with pytest.raises(ValueError, match="cannot change"):
        lazy_adam().learning_rate = 0.1
    optimizer = lazy_adam(1e-3)
    optimizer.learning_rate.assign(1e-3)
    optimizer.load_own_variables({"0": np.int64(7), "1": np.float32(1e-3)})
    with pytest.raises(ValueError, match="cannot change from 0.001: .* Received: 0.1"):
        optimizer.learning_rate.assign(0.1)
    with pytest.raises(ValueError, match="cannot change from 0.001"):  # nor does a file change it
        optimizer.load_own_variables({"0": np.int64(7), "1": np.float32(0.1)})
    assert float(optimizer.learning_rate) == np.float32(1e-3)


def test_the_size_below_which_tables_are_updated_whole_is_a_whole_number():
    assert lazy_adam(dense_below="2^20").dense_below == 1 << 20
    with pytest.raises(ValueError, match="`dense_below` must be a whole number, .* Received: 2.5"):
        lazy_adam(dense_below=2.5)


def test_small_tables_are_updated_densely():
    data = list(batches(30))
    model, optimizer = model_of(), RowwiseAdam()
    found = train(optimizer, model, data)
    assert optimizer.tables() == []
    for one, other in zip(found, train(CoupledAdam(), model_of(), data), strict=True):
        np.testing.assert_array_equal(one, other)
    exactly = RowwiseAdam(dense_below=125 * 5)  # embedding and first-order weights
    exactly.build(model_of().trainable_variables)
    (lazy,) = exactly.tables()
    assert [variable.shape for variable in lazy.table.variables] == [(125, 4), (125, 4), (125, 1)]
    assert RowwiseAdam.from_config(exactly.get_config()).dense_below == 625


def test_a_fit_that_xla_compiles_on_a_gpu_updates_tables_whole():
    """As it is traced for one; Keras compiles small tables there, with `jit_compile="auto"` too."""
    ids = np.random.default_rng(0).integers(0, 50, (64, 2))

    def fitted(optimizer, **options):
        layer = PEPEmbedding(50, 3, threshold_init=-3.0, embeddings_initializer="ones")
        layers = [keras.Input((2,), dtype="int32"), layer, keras.layers.GlobalAveragePooling1D()]
        model = keras.Sequential(layers)
        model.compile(optimizer, "mse", **options)
        cut = pep_tf.PruneCallback(budgets=["50%"])
        model.fit(ids, np.ones((64, 3)), batch_size=16, verbose=0, callbacks=[cut])
        assert model.jit_compile == options["jit_compile"]
        return [layer.table.numpy(), layer.thresholds.numpy()]

    with traced_for(GPU):
        assert not PEPEmbedding(1 << 20, 1 << 10).supports_jit
        compiled = fitted(lazy_adam(), jit_compile=True)
    for one, other in zip(compiled, fitted(CoupledAdam(), jit_compile=False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def ticket_model(seed=0):
    mask = np.random.default_rng(seed).random((125, 4)) < 0.4
    layer = TicketEmbedding.of_mask(np.packbits(mask, axis=1), 4, name="embedding")
    model = build_model("fm", FIELDS, seed=3, embedding=layer)
    draw = np.random.default_rng(seed + 1).uniform(-0.2, 0.2, layer.entries.shape)
    layer.entries.assign(draw)
    return model


def test_a_ticket_s_entries_are_made_up_for():
    data, found = list(batches(400)), []
    for optimizer in (CoupledAdam(), lazy_adam()):
        model = ticket_model()
        model.compile(
            optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False
        )
        for ids, labels in data:
            model.train_on_batch(ids, labels[:, None])
        found.append(model.embedding.effective_table())
    assert (found[0] != 0).tolist() == (found[1] != 0).tolist()
    assert np.abs(found[0] - ticket_model().embedding.effective_table()).max() > 0.1
    error = np.abs(found[1] - found[0]) / 0.2
    assert np.quantile(error, 0.99) < 0.03
    assert error.max() < 0.1


@pytest.mark.parametrize(("dense_below", "rowwise"), [(0, 2), (44, 2), (45, 1), (126, 0)])
def test_a_ticket_s_entries_are_updated_whole_up_to_four_times_as_many(dense_below, rowwise):
    """Its 125 first-order weights are a table like any other."""
    model = ticket_model()
    assert 4 * 44 < model.embedding.entries.shape[0] < 4 * 45
    optimizer = RowwiseAdam(dense_below=dense_below)
    optimizer.build(model.trainable_variables)
    assert len(optimizer.tables()) == rowwise
