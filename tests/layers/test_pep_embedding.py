import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import PEPEmbedding
from pep_tf.tables import GRANULARITIES, row_table, soft_threshold
from tests.layers import checks

FIELD_SIZES = (2, 1, 3)
N, D = 6, 2
ROWS = np.array([[0, 2, 4], [1, 2, 3]], np.int32)
TABLE = np.array(
    [[0.9, -0.2], [-0.7, 0.6], [0.4, 0.8], [-0.1, -0.95], [0.55, 0.3], [-0.65, 0.5]], np.float32
)
FIELD_OF_ROW = np.repeat(np.arange(3), FIELD_SIZES)
each_granularity = pytest.mark.parametrize("granularity", GRANULARITIES)


def make(granularity="feature_dim", **options) -> PEPEmbedding:
    layer = PEPEmbedding(N, D, granularity=granularity, field_sizes=FIELD_SIZES, **options)
    layer.build()
    layer.table.assign(TABLE)
    layer.pull.switch(False)  # the gradients below are those of the formula alone
    if layer.thresholds is not None:
        shape = layer.thresholds.shape
        layer.thresholds.assign(np.linspace(-1.5, 1.0, int(np.prod(shape))).reshape(shape))
    return layer


def spread(values: np.ndarray, granularity: str) -> np.ndarray:
    """One threshold an entry, [N, d]."""
    if granularity.startswith("field"):
        values = values[FIELD_OF_ROW]
    return np.broadcast_to(values, (N, D))


def sigmoid(s):
    return 1 / (1 + np.exp(-s.astype(np.float64)))


@each_granularity
def test_lookup_and_gradients_against_the_formula(granularity):
    layer = make(granularity)
    upstream = np.arange(1, 13, dtype=np.float32).reshape(2, 3, D)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ROWS) * upstream)
    of_table, of_s = tape.gradient(loss, [layer.table._value, layer.thresholds._value])

    s = layer.thresholds.numpy()
    gate = sigmoid(spread(s, granularity))
    kept = np.abs(TABLE) > gate
    assert 2 < kept.sum() < 12
    effective = np.sign(TABLE) * np.maximum(np.abs(TABLE) - gate, 0)
    np.testing.assert_allclose(layer(ROWS), effective[ROWS], atol=1e-6)

    arriving = np.zeros((N, D))
    np.add.at(arriving, ROWS, upstream)  # row 2 is looked up twice
    np.testing.assert_allclose(tf.convert_to_tensor(of_table), arriving * kept, atol=1e-6)
    entries = -arriving * np.sign(TABLE) * kept * gate * (1 - gate)
    expected = np.zeros(s.shape)
    for row, column in itertools.product(range(N), range(D)):
        place = np.arange(s.size).reshape(s.shape)
        expected.flat[spread(place, granularity)[row, column]] += entries[row, column]
    np.testing.assert_allclose(tf.convert_to_tensor(of_s), expected, atol=1e-5)


@each_granularity
def test_same_gradient_as_thresholding_the_whole_table(granularity):
    layer = make(granularity)
    weights = [layer.table._value, layer.thresholds._value]
    with tf.GradientTape(persistent=True) as tape:
        gathered = tf.reduce_sum(tf.square(layer(ROWS)))
        s = weights[1]
        if granularity.startswith("field"):
            s = tf.repeat(s, FIELD_SIZES, axis=0)
        whole = tf.gather(soft_threshold(weights[0], s, tf.sigmoid), ROWS)
        whole = tf.reduce_sum(tf.square(whole))
    for one, other in zip(
        tape.gradient(gathered, weights), tape.gradient(whole, weights), strict=True
    ):
        assert np.abs(tf.convert_to_tensor(other)).max() > 0
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), atol=1e-6
        )


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_thresholds_are_pulled_to_their_target(granularity):
    layer = make(granularity, threshold_pull=0.5, threshold_target=3.0)
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(layer(ROWS))
    alone = tape.gradient(loss, layer.thresholds._value)
    layer.pull.switch(True)
    pulled = tape.gradient(loss, layer.thresholds._value)
    expected = 0.5 * (layer.thresholds.numpy() - 3.0)
    np.testing.assert_allclose(pulled - alone, expected, atol=1e-6)


def test_constants_of_the_pull_hold_once_an_optimizer_took_them():
    layer = PEPEmbedding(N, D)
    layer.pull.change(target=15.0)
    layer.pull.fix()
    layer.pull.change(target=15.0)
    with pytest.raises(ValueError, match="cannot change once an optimizer .* {'target': 3.0}"):
        layer.pull.change(target=3.0)


@each_granularity
@pytest.mark.parametrize("block_rows", [1, 4, 100])
def test_looking_at_the_whole_table(granularity, block_rows, monkeypatch):
    layer = make(granularity)
    width = layer.table.row_table.width
    monkeypatch.setattr(row_table, "BLOCK_ENTRIES", block_rows * width)
    before = [weight.numpy() for weight in layer.weights]
    gate = sigmoid(spread(layer.thresholds.numpy(), granularity))
    expected = np.sign(TABLE) * np.maximum(np.abs(TABLE) - gate, 0)
    np.testing.assert_allclose(layer.effective_table(), expected, atol=1e-6)
    assert layer.nnz() == np.count_nonzero(expected)
    starts, _, scores = zip(*layer.blocks(), strict=True)
    assert starts == tuple(range(0, N, block_rows))
    np.testing.assert_allclose(np.concatenate(scores), np.abs(TABLE) - gate, atol=1e-6)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_no_pruning():
    layer = make(pruning="none")
    np.testing.assert_array_equal(layer(ROWS), TABLE[ROWS])
    assert layer.nnz() == N * D
    assert [weight.name for weight in layer.weights] == ["table"]


def test_start():
    layer = PEPEmbedding(400, 8, threshold_init=-7.0)
    layer.build()
    np.testing.assert_array_equal(layer.thresholds, np.full((400, 8), -7.0))
    limit = np.sqrt(6 / 408)  # Xavier uniform over the whole table
    assert 0.95 * limit < np.abs(layer.table).max() <= limit


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("granularity", ["feature_dim", "field"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_rows_of_any_shape_and_integers_of_any_width(shape, granularity, dtype):
    rows = np.full(shape, 4, dtype)
    outputs = make(granularity)(rows)
    assert outputs.shape == (*shape, D)
    np.testing.assert_array_equal(
        outputs, np.broadcast_to(outputs.numpy().reshape(-1, D)[0], (*shape, D))
    )


def test_field_of():
    rows = tf.constant([[0, 1, 2], [3, 4, 5]])
    layer = make("field")
    groups = layer.granularity.groups(rows, layer.field_sizes)
    np.testing.assert_array_equal(tf.reshape(groups, [-1]), FIELD_OF_ROW)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0}, "`input_dim` must be at least 1. Received: 0"),
        ({"input_dim": 2**31}, "`input_dim` must be at most 2,147,483,647. Received: 2147483648"),
        ({"output_dim": -1}, "`output_dim` must be at least 1. Received: -1"),
        ({"output_dim": 2.5}, "`output_dim` must be a whole number, .* Received: 2.5"),
        ({"threshold_init": "low"}, "`threshold_init` must be a number, .* Received: 'low'"),
        ({"threshold_init": float("nan")}, "`threshold_init` must be a number"),
        ({"threshold_target": "high"}, "`threshold_target` must be a number"),
        ({"threshold_pull": float("inf")}, "`threshold_pull` must be a number"),
        ({"threshold_learning_rate": "x"}, "`threshold_learning_rate` must be a number"),
        ({"field_sizes": "123"}, "`field_sizes` must be a list"),
        ({"field_sizes": (2.5, 3.5)}, "`field_sizes` must be whole numbers"),
        (
            {"pruning": "hard"},
            r"`pruning` must be one of \['threshold', 'none'\]. Received: 'h",
        ),
        ({"granularity": "row"}, "`granularity` must be one of .* Received: 'row'"),
        (
            {"granularity": "field"},
            "`field_sizes` must be given for granularity 'field'",
        ),
        (
            {"field_sizes": (2, 3)},
            r"`field_sizes` must sum to input_dim=6\. Received: \(2, 3\)",
        ),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PEPEmbedding(**{"input_dim": N, "output_dim": D, **arguments})


@keras.saving.register_keras_serializable(package="pep_tf_tests")
def square_gate(s):
    return tf.square(s) / 4


def test_custom_gate(tmp_path):
    layer = make(gate=square_gate)
    gate = layer.thresholds.numpy() ** 2 / 4
    expected = np.sign(TABLE) * np.maximum(np.abs(TABLE) - gate, 0)
    np.testing.assert_allclose(layer(ROWS), expected[ROWS], atol=1e-6)
    checks.check_config(layer)
    again = checks.check_reload(make(gate=square_gate), ROWS, tmp_path)
    assert again.gate is square_gate


def test_gate_by_name(tmp_path):
    again = checks.check_reload(make(gate="softplus"), ROWS, tmp_path)
    assert again.gate is keras.activations.softplus


@pytest.mark.parametrize(
    "options",
    [*({"granularity": name} for name in GRANULARITIES), {"pruning": "none"}],
    ids=str,
)
def test_reload(options, tmp_path):
    checks.check_config(make(threshold_init=-3.0, **options))
    again = checks.check_reload(make(threshold_init=-3.0, **options), ROWS, tmp_path)
    assert again.threshold_init == -3.0
    assert again.field_sizes == FIELD_SIZES


def test_an_initializer_with_arguments_round_trips():
    layer = PEPEmbedding(N, D, embeddings_initializer=keras.initializers.RandomNormal(0, 0.3, 5))
    checks.check_config(layer)


@checks.each_policy
@pytest.mark.parametrize("options", [{"granularity": "field"}, {}], ids=str)
def test_policy(options, policy):
    checks.check_policy(make(dtype=policy, **options), ROWS, policy)


@pytest.mark.parametrize("granularity", ["feature_dim", "field", "global"])
def test_jit(granularity):
    checks.check_jit(make(granularity), ROWS)


def test_fit_under_jit_is_refused_by_keras_and_trains_without():
    model = keras.Sequential(
        [PEPEmbedding(N, D, threshold_init=-3.0), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model.compile("sgd", "mse", jit_compile=True)
    before = model(ROWS).numpy()
    losses = model.fit(ROWS, np.ones(2), epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[1] < losses[0]
    assert np.abs(model(ROWS) - before).min() > 0


def test_weights_of_bags_have_the_shape_of_the_ids():
    layer = PEPEmbedding(9, 3, combiner="mean")
    with pytest.raises(ValueError, match="`weights` must have the shape of the ids"):
        layer(np.ones((2, 4)), weights=np.ones(2))
    one, weights = np.array([1, 2]), np.array([0.5, 2.0])
    np.testing.assert_array_equal(layer(one, weights=weights), layer(one[:, None]))
    assert layer.compute_output_shape((2,)) == (2, 3)


@pytest.mark.parametrize("granularity", ["feature_dim", "global"])
def test_a_function_of_ones_own_is_saved_as_a_signature(granularity, tmp_path):
    """One that was traced under an optimizer of Keras's, whose gradients hold the pull."""
    layer = PEPEmbedding(9, 3, granularity=granularity, threshold_init=-4.0)
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.compile("adam", "mse")
    answer = tf.function(model, input_signature=[tf.TensorSpec([None, 2], tf.int32)])
    ids = np.array([[1, 2], [3, 3]], np.int32)
    expected = answer(ids)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(model, tmp_path, {"serving_default": answer}, options)
    (found,) = (
        tf.saved_model.load(tmp_path).signatures["serving_default"](tf.constant(ids)).values()
    )
    np.testing.assert_array_equal(found, expected)
