"""RowwiseAdam and CoupledAdam as a Keras user uses optimizers: no call but Keras's own."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import PEPEmbedding
from pep_tf.optimizers import CoupledAdam, RowwiseAdam

N, D = 400, 4
RNG = np.random.default_rng(0)
IDS = np.minimum(RNG.zipf(1.3, (512, 3)), N - 1).astype(np.int32)
LABELS = (IDS[:, 0] % 3 == 0).astype(np.float32)
lazy_adam = functools.partial(RowwiseAdam, dense_below=0)  # however small the table
rates = {"learning_rate": 0.01, "l2": 1e-4, "threshold_target": 15.0}


def model_of(optimizer=None, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    layer = PEPEmbedding(N, D, **{"threshold_init": -6.0, "name": "table", **options})
    flat = keras.layers.Flatten()
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer, flat, keras.layers.Dense(1)])
    if optimizer is not None:
        model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def fit(model: keras.Model, epochs: int = 1, **options) -> keras.callbacks.History:
    return model.fit(IDS, LABELS, batch_size=16, shuffle=False, epochs=epochs, verbose=0, **options)


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [*model.get_weights(), *(np.array(v._value) for v in model.optimizer.variables)]


def assert_close(by_row: np.ndarray, whole: np.ndarray) -> None:
    """Within the error of the catch-up at these constants, in shares of 10 learning rates."""
    error = np.abs(by_row - whole) / 0.1
    assert np.quantile(error, 0.99) < 0.03
    assert error.max() < 0.15


def assert_same(some: list[np.ndarray], others: list[np.ndarray]) -> None:
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("saved", ["whole", "weights"])
@pytest.mark.parametrize("optimizer", [lazy_adam, CoupledAdam])
def test_a_saved_model_answers_as_in_memory_and_goes_on_bit_for_bit(optimizer, saved, tmp_path):
    model = model_of(optimizer(**rates))
    fit(model)
    answers = model.predict(IDS, verbose=0)
    if saved == "whole":
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
    else:
        model.save_weights(tmp_path / "m.weights.h5")
        again = model_of(optimizer(**rates))
        again.optimizer.build(again.trainable_variables)
        again.load_weights(tmp_path / "m.weights.h5")
    assert again.get_layer("table").nnz() == model.get_layer("table").nnz()
    np.testing.assert_allclose(again.predict(IDS, verbose=0), answers, atol=1e-6)
    fit(model)
    fit(again)
    assert_same(weights_of(again), weights_of(model))


def test_a_save_at_every_step_changes_no_later_bit(tmp_path):
    def save(batch, logs=None):
        watched.save(tmp_path / "m.keras")
        watched.get_weights()
        np.array(watched.get_layer("table").table)

    watched, alone = model_of(lazy_adam(**rates)), model_of(lazy_adam(**rates))
    fit(watched, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=save)])
    fit(alone)
    assert_same(weights_of(watched), weights_of(alone))


def test_what_is_assigned_is_current():
    model = model_of(lazy_adam(**rates))
    fit(model)
    table = RNG.normal(size=(N, D)).astype(np.float32)
    model.get_layer("table").table.assign(table)
    np.testing.assert_array_equal(model.get_layer("table").table.numpy(), table)
    np.testing.assert_array_equal(model.get_weights()[0], table)


def test_best_weights_come_back_as_under_the_dense_update():
    tables = []
    for optimizer in (lazy_adam(**rates), CoupledAdam(**rates)):
        model = model_of(optimizer)
        stop = keras.callbacks.EarlyStopping("loss", mode="max", restore_best_weights=True)
        fit(model, epochs=3, callbacks=[stop])
        tables.append(model.get_weights()[0])
    assert np.abs(tables[0]).max() > 0.05
    assert_close(*tables)


def test_functions_traced_before_the_first_step_read_current_values():
    model = model_of(lazy_adam(**rates))
    before = tf.function(lambda ids: model(ids))
    stale = before(IDS).numpy()
    model.evaluate(IDS, LABELS, verbose=0)
    fit(model)
    model.evaluate(IDS, LABELS, verbose=0)
    now = model(IDS).numpy()
    assert np.abs(now - stale).max() > 0.01
    np.testing.assert_allclose(before(IDS), now, atol=1e-6)
    np.testing.assert_allclose(model.predict(IDS, verbose=0), now, atol=1e-6)
    assert model.optimizer.tables()[0].by_row


def test_a_function_traced_before_compile_has_the_table_updated_whole():
    model = model_of()
    before = tf.function(lambda ids: model(ids))
    before(IDS)
    model.compile(lazy_adam(**rates), keras.losses.BinaryCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match="updated whole at each step"):
        fit(model)
    np.testing.assert_allclose(before(IDS), model(IDS), atol=1e-6)
    dense = model_of(CoupledAdam(**rates))
    fit(dense)
    np.testing.assert_allclose(model.get_weights()[0], dense.get_weights()[0], atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"clipnorm": 1e-3},
        {"clipvalue": 1e-4},
        {"global_clipnorm": 1e-3},
        {"loss_scale_factor": 8.0},
    ],
    ids=str,
)
def test_arguments_of_keras_s_optimizers_mean_what_they_mean_there(options):
    dense = model_of(CoupledAdam(**rates, **options), threshold_init=-2.0)
    rowwise = model_of(lazy_adam(**rates, **options), threshold_init=-2.0)
    fit(dense)
    fit(rowwise)
    for by_row, whole in zip(rowwise.get_weights(), dense.get_weights(), strict=True):
        assert_close(by_row, whole)


@pytest.mark.parametrize(
    "options",
    [{"weight_decay": 0.1}, {"use_ema": True}, {"gradient_accumulation_steps": 2}],
    ids=str,
)
def test_arguments_without_a_meaning_by_rows_are_refused_and_those_of_the_dense_update_work(
    options,
):
    [name] = options
    with pytest.raises(ValueError, match=f"`{name}` is not for RowwiseAdam: .* CoupledAdam takes"):
        RowwiseAdam(**options)
    model = model_of(CoupledAdam(**rates, **options))
    start = model.get_weights()[0]
    fit(model)
    assert np.abs(model.get_weights()[0] - start).max() > 0.05


def test_nothing_over_nothing_is_no_step():
    for optimizer in (lazy_adam(0.01, l2=0.0, epsilon=0.0), CoupledAdam(0.01, l2=0.0, epsilon=0.0)):
        model = model_of(optimizer)
        fit(model)
        assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_eager_steps_are_those_of_a_graph():
    models = [model_of(lazy_adam(**rates)) for _ in range(2)]
    models[1].run_eagerly = True
    for model in models:
        model.fit(IDS[:64], LABELS[:64], batch_size=16, shuffle=False, verbose=0)
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_table_looked_up_twice_in_a_step_follows_the_dense_update():
    tables = []
    for optimizer in (lazy_adam(**rates), CoupledAdam(**rates)):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((3,), dtype="int32")
        layer = PEPEmbedding(N, D, threshold_init=-6.0)
        both = keras.layers.Dot(axes=1)([layer(inputs[:, 0]), layer(inputs[:, 1])])
        model = keras.Model(inputs, both)
        model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
        fit(model)
        tables.append(model.get_weights()[0])
    assert_close(*tables)


@pytest.mark.parametrize(
    "optimizer", ["sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "nadam"]
)
def test_every_optimizer_of_keras_prunes(optimizer):
    """A pull that is strong where a step's size follows the gradient's."""
    strength = 1.0 if optimizer == "sgd" else 0.1
    model = model_of(
        threshold_pull=strength, threshold_target=15.0, threshold_init=-4.0, granularity="dimension"
    )
    optimizer = keras.optimizers.get(optimizer)
    optimizer.learning_rate = 0.05
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    loss = fit(model, epochs=4).history["loss"]
    assert np.isfinite(loss).all()
    assert loss[0] < 1.5  # the pull is no part of what is reported
    assert model.get_layer("table").nnz() < 0.7 * N * D


def test_keras_s_adam_sums_repeated_ids_first():
    """As on a table that is looked up as a product with one-hot rows."""
    ids = np.array([[1, 1, 2], [2, 1, 0]], np.int32)
    layer = PEPEmbedding(5, 2, pruning="none")
    layer.build()
    start = layer.table.numpy()
    plain = keras.Variable(start)
    for variable, rows in (
        (layer.table, lambda: layer(ids)),
        (plain, lambda: tf.one_hot(ids, 5) @ tf.convert_to_tensor(plain)),
    ):
        optimizer = keras.optimizers.Adam(0.1)
        for _ in range(2):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(rows() - 1.0))
            optimizer.apply([tape.gradient(loss, variable)], [variable])
    np.testing.assert_allclose(layer.table.numpy(), plain.numpy(), atol=1e-6)


def test_another_optimizer_takes_over_where_this_one_left():
    model = model_of(lazy_adam(**rates))
    fit(model)
    table = model.get_weights()[0]
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(IDS[:16], LABELS[:16], batch_size=16, verbose=0)
    moved = np.abs(model.get_weights()[0] - table)
    assert 0 < moved.max() < 2e-3
    model.compile(lazy_adam(**rates), keras.losses.BinaryCrossentropy(from_logits=True))
    fit(model)
    np.testing.assert_allclose(model.predict(IDS, verbose=0), model(IDS), atol=1e-6)


def test_fit_after_fit_goes_on_as_one():
    tables = []
    for runs in ((2,), (1, 1)):
        model = model_of(lazy_adam(**rates))
        for epochs in runs:
            fit(model, epochs=epochs)
            model.evaluate(IDS, LABELS, verbose=0)
        tables.append(weights_of(model))
    assert_same(*tables)


@pytest.mark.parametrize("granularity", ["feature_dim", "dimension"])
@pytest.mark.parametrize("optimizer", [lazy_adam, CoupledAdam, None])
def test_checkpoints_and_exports_of_keras_and_tensorflow(optimizer, granularity, tmp_path):
    def compiled() -> keras.Model:
        own = keras.optimizers.Adam(0.01) if optimizer is None else optimizer(**rates)
        return model_of(own, granularity=granularity)

    model = compiled()
    fit(model)
    answers = model(IDS).numpy()
    model.export(tmp_path / "export", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(loaded.serve(IDS), answers, atol=1e-6)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "ck"))
    again = compiled()
    again.optimizer.build(again.trainable_variables)
    tf.train.Checkpoint(model=again).restore(path).expect_partial()
    np.testing.assert_allclose(again(IDS), answers, atol=1e-6)
