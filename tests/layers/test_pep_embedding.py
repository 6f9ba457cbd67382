import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import GRANULARITIES, PEPEmbedding, pep_embedding, soft_threshold
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


@pytest.mark.parametrize("granularity", ["feature", "feature_dim"])
def test_only_the_rows_of_the_batch_have_a_gradient(granularity):
    layer = make(granularity)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ROWS))
    for gradient in tape.gradient(loss, [layer.table._value, layer.thresholds._value]):
        assert isinstance(gradient, tf.IndexedSlices)
        assert set(gradient.indices.numpy()) == {0, 1, 2, 3, 4}


@each_granularity
@pytest.mark.parametrize("block_rows", [1, 4, 100])
def test_looking_at_the_whole_table(granularity, block_rows, monkeypatch):
    monkeypatch.setattr(pep_embedding, "BLOCK_ENTRIES", block_rows * D)
    layer = make(granularity)
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


def test_mask():
    layer = make(pruning="mask")
    mask = np.arange(N * D).reshape(N, D) % 3 == 0
    layer.mask.assign(mask)
    with tf.GradientTape() as tape:
        rows = layer(ROWS)
        loss = tf.reduce_sum(rows)
    np.testing.assert_array_equal(rows, (TABLE * mask)[ROWS])
    np.testing.assert_array_equal(layer.effective_table(), TABLE * mask)
    assert layer.nnz() == 4
    expected = np.zeros((N, D))
    np.add.at(expected, ROWS, mask[ROWS])
    [gradient] = tape.gradient(loss, layer.trainable_weights)
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient), expected)


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
    np.testing.assert_array_equal(tf.reshape(make("field").field_of(rows), [-1]), FIELD_OF_ROW)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"input_dim": 0},
            "`input_dim` and `output_dim` must be at least 1. Received: input_dim=0",
        ),
        ({"output_dim": -1}, "`input_dim` and `output_dim` must be at least 1. Received: .*=-1"),
        (
            {"pruning": "hard"},
            r"`pruning` must be one of \['threshold', 'mask', 'none'\]. Received: 'h",
        ),
        ({"granularity": "row"}, "`granularity` must be one of .* Received: 'row'"),
        (
            {"granularity": "field"},
            "`field_sizes` must sum to input_dim=6 .*'field'. Received: None",
        ),
        (
            {"granularity": "field_dim", "field_sizes": (2, 3)},
            r"`field_sizes` must sum to input_dim=6 .*'field_dim'. Received: \(2, 3\)",
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
    [*({"granularity": name} for name in GRANULARITIES), {"pruning": "mask"}, {"pruning": "none"}],
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
@pytest.mark.parametrize("options", [{"granularity": "field"}, {}, {"pruning": "mask"}], ids=str)
def test_policy(options, policy):
    checks.check_policy(make(dtype=policy, **options), ROWS, policy)


@pytest.mark.parametrize("granularity", ["feature_dim", "field", "global"])
def test_jit(granularity):
    checks.check_jit(make(granularity), ROWS)


def test_fit_under_jit():
    model = keras.Sequential(
        [PEPEmbedding(N, D, threshold_init=-3.0), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse", jit_compile=True)
    before = model(ROWS).numpy()
    losses = model.fit(ROWS, np.ones(2), epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[1] < losses[0]
    assert np.abs(model(ROWS) - before).min() > 0
