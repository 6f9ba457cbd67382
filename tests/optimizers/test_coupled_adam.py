import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.optimizers import CoupledAdam
from pep_tf.tables import Pull
from tests import tiny

LR, L2, B1, B2, EPS = 0.05, 0.01, 0.9, 0.999, 1e-8
START = np.array([[0.5, -2.0], [0.25, 1.0], [3.0, -0.125]])
GRADIENTS = np.array(
    [
        [[0.3, -1e-3], [2.0, 0.0], [-0.7, 1e-6]],
        [[-0.1, 4.0], [1e-4, 0.5], [0.7, -1e-6]],
        [[0.0, 0.2], [0.3, 1.5], [-0.2, 0.1]],
    ]
)


class Oracle:
    """The recurrence of the docstring, in float64."""

    def __init__(self, p, lr=LR, l2=L2, b1=B1, b2=B2, eps=EPS, target=0.0):
        self.p, self.m, self.n, self.t = p.astype(np.float64), 0.0, 0.0, 0
        self.constants = (l2, b1, b2, eps, target)
        self.lr = lr

    def step(self, gradient):
        l2, b1, b2, eps, target = self.constants
        self.t += 1
        g = gradient + l2 * (self.p - target)
        self.m = b1 * self.m + (1 - b1) * g
        self.n = b2 * self.n + (1 - b2) * g**2
        unbiased_m, unbiased_n = self.m / (1 - b1**self.t), self.n / (1 - b2**self.t)
        self.p = self.p - self.lr * unbiased_m / (np.sqrt(unbiased_n) + eps)
        return self.p


def variable(value=START) -> keras.Variable:
    return keras.Variable(value, dtype="float32")


def thresholds(value, **constants) -> keras.Variable:
    """A variable that has a pull, which is how an optimizer knows thresholds."""
    made = variable(value)
    made.pull = Pull(**constants)
    return made


def apply(optimizer, variable, gradient) -> np.ndarray:
    gradient = (
        gradient if isinstance(gradient, tf.IndexedSlices) else tf.constant(gradient, tf.float32)
    )
    optimizer.apply([gradient], [variable])
    return variable.numpy()


def test_first_step_by_hand():
    # g = 2 + 0.5 * 4 = 4; m = 0.4; n = 0.016; unbiased 4 and 16: p = 4 - 0.1 * 4 / (4 + 1)
    p = variable([4.0])
    optimizer = CoupledAdam(0.1, l2=0.5, epsilon=1.0)
    assert apply(optimizer, p, [2.0]) == pytest.approx(3.92, rel=1e-7)


def test_second_step_by_hand():
    p = variable([4.0])
    optimizer = CoupledAdam(0.1, l2=0.5, epsilon=1.0, beta_1=0.5, beta_2=0.75)
    apply(optimizer, p, [2.0])
    # g = -1 + 0.5 * 3.92 = 0.96; m = 0.5 * 2 + 0.48 = 1.48; n = 0.75 * 4 + 0.25 * 0.9216 = 3.2304
    # unbiased m = 1.48 / 0.75, n = 3.2304 / 0.4375
    expected = 3.92 - 0.1 * (1.48 / 0.75) / (np.sqrt(3.2304 / 0.4375) + 1)
    assert apply(optimizer, p, [-1.0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("b1", "b2", "eps"), [(B1, B2, EPS), (0.0, 0.99, 1e-3), (0.5, 0.9, 0.1)])
def test_float32_follows_float64(b1, b2, eps):
    p, oracle = variable(), Oracle(START, b1=b1, b2=b2, eps=eps)
    optimizer = CoupledAdam(LR, L2, b1, b2, eps)
    for _, gradient in zip(range(30), itertools.cycle(GRADIENTS), strict=False):
        np.testing.assert_allclose(apply(optimizer, p, gradient), oracle.step(gradient), atol=3e-6)
    np.testing.assert_allclose(optimizer._m[0], oracle.m, rtol=1e-4, atol=1e-6)


def test_a_start_that_is_a_share_of_epsilon():
    """Decay alone, on weights so small that epsilon counts: what pulls unseen rows to zero."""
    p, oracle = variable([1e-4, -1e-2]), Oracle(np.array([1e-4, -1e-2]), 1e-3, 1e-5)
    optimizer = CoupledAdam(1e-3, 1e-5)
    for _ in range(40):
        np.testing.assert_allclose(apply(optimizer, p, [0, 0]), oracle.step(np.zeros(2)), atol=1e-7)


def test_l2_is_coupled_unlike_weight_decay():
    """Without a gradient a step is one learning rate, however weak the L2."""
    p = variable([-15.0])
    assert apply(CoupledAdam(1e-3, 1e-5), p, [0.0]) == pytest.approx(-14.999, rel=1e-6)


def test_thresholds_have_constants_of_their_own():
    s, table = thresholds([-3.0, 1.0]), variable([-3.0, 1.0])
    optimizer = CoupledAdam(
        LR, L2, threshold_learning_rate=0.2, threshold_l2=0.5, threshold_target=10.0
    )
    of_s = Oracle(s.numpy(), lr=0.2, l2=0.5, target=10.0)
    of_table = Oracle(table.numpy())
    for gradient in ([0.1, 30.0], [0.0, -20.0]):
        gradient = np.array(gradient)
        optimizer.apply([tf.constant(gradient, tf.float32)] * 2, [s, table])
        np.testing.assert_allclose(s, of_s.step(gradient), rtol=1e-6)
        np.testing.assert_allclose(table, of_table.step(gradient), rtol=1e-6)


def test_thresholds_take_the_common_constants_by_default():
    s, oracle = thresholds([-3.0]), Oracle(np.array([-3.0]))
    optimizer = CoupledAdam(LR, L2)
    for gradient in ([0.5], [-0.1]):
        np.testing.assert_allclose(apply(optimizer, s, gradient), oracle.step(np.array(gradient)))


def test_a_layer_s_own_constants_of_thresholds():
    s = thresholds([-3.0], strength=0.5, target=10.0, learning_rate=0.2)
    oracle = Oracle(s.numpy(), lr=0.2, l2=0.5, target=10.0)
    optimizer = CoupledAdam(LR, L2)
    np.testing.assert_allclose(apply(optimizer, s, [0.1]), oracle.step(np.array([0.1])), rtol=1e-6)
    over = thresholds([-3.0], strength=0.5, target=10.0)
    optimizer = CoupledAdam(LR, L2, threshold_l2=0.0, threshold_target=0.0)
    oracle = Oracle(over.numpy(), l2=0.0)
    np.testing.assert_allclose(
        apply(optimizer, over, [0.1]), oracle.step(np.array([0.1])), rtol=1e-6
    )


def test_constants_of_zero_for_thresholds_are_zero():
    s = thresholds([-3.0])
    optimizer = CoupledAdam(LR, L2, threshold_learning_rate=0.0, threshold_target=5.0)
    assert apply(optimizer, s, [1.0]) == -3.0
    s = thresholds([-3.0])
    assert apply(CoupledAdam(LR, L2, threshold_l2=0.0, threshold_target=5.0), s, [0.0]) == -3.0


def test_repeated_ids_are_summed_before_they_are_squared():
    p, oracle = variable(), Oracle(START)
    optimizer = CoupledAdam(LR, L2)
    for ids, values in (
        ([2, 0, 2], [[1.0, 2.0], [0.5, -1.0], [-3.0, 1.0]]),
        ([1, 1, 1], [[0.1, 0.1], [0.2, 0.3], [0.3, -0.4]]),
    ):
        summed = np.zeros(START.shape)
        np.add.at(summed, ids, values)
        slices = tf.IndexedSlices(tf.constant(values), tf.constant(ids), tf.constant(START.shape))
        # Rows that no id names decay as well.
        np.testing.assert_allclose(apply(optimizer, p, slices), oracle.step(summed), atol=1e-6)


def test_learning_rate_schedule():
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], [0.1, 0.02, 0.3])
    p, oracle = variable(), Oracle(START)
    optimizer = CoupledAdam(rates, L2)
    for rate, gradient in zip((0.1, 0.02, 0.3), GRADIENTS, strict=True):
        oracle.lr = rate
        np.testing.assert_allclose(apply(optimizer, p, gradient), oracle.step(gradient), atol=1e-6)


def test_a_learning_rate_that_is_set_in_mid_run():
    p, oracle = variable(), Oracle(START)
    optimizer = CoupledAdam(LR, L2)
    for rate, gradient in zip((LR, 0.2, 0.01), GRADIENTS, strict=True):
        oracle.lr = optimizer.learning_rate = rate
        np.testing.assert_allclose(apply(optimizer, p, gradient), oracle.step(gradient), atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_graph(jit_compile):
    p, s = variable(), thresholds([-1.0])
    oracles = Oracle(START), Oracle(s.numpy())
    optimizer = CoupledAdam(LR, L2)
    optimizer.build([p, s])

    @tf.function(jit_compile=jit_compile)
    def step(gradient):
        slices = tf.IndexedSlices(gradient, tf.constant([0, 1, 2]), tf.constant(START.shape))
        optimizer.apply([slices, gradient[0, :1]], [p, s])

    for gradient in GRADIENTS:
        step(tf.constant(gradient, tf.float32))
        np.testing.assert_allclose(p, oracles[0].step(gradient), atol=1e-6)
        np.testing.assert_allclose(s, oracles[1].step(gradient[0, :1]), atol=1e-6)


def loss_of(model, ids, labels):
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, model(ids, training=True)[:, 0])
    return tf.reduce_mean(losses)


def test_fit_does_what_a_custom_loop_does(tmp_path):
    ids, labels = tf.constant(tiny.DATA.train.ids[:96]), tf.constant(tiny.DATA.train.labels[:96])
    by_hand, by_fit = tiny.model("fm"), tiny.model("fm")
    optimizer = CoupledAdam(0.02, threshold_target=15.0)
    for start in range(0, 96, 32):
        with tf.GradientTape() as tape:
            loss = loss_of(by_hand, ids[start : start + 32], labels[start : start + 32])
        variables = by_hand.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    by_fit.compile(
        CoupledAdam(0.02, threshold_target=15.0), keras.losses.BinaryCrossentropy(from_logits=True)
    )
    by_fit.fit(ids, labels, batch_size=32, shuffle=False, verbose=0)
    for one, other in zip(by_hand.weights, by_fit.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)

    by_fit.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == by_fit.optimizer.get_config()
    for one, other in zip(again.optimizer.variables, by_fit.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_config_round_trip():
    optimizer = CoupledAdam(
        keras.optimizers.schedules.CosineDecay(0.1, 50),
        l2=0.3,
        beta_1=0.8,
        beta_2=0.9,
        epsilon=1e-5,
        threshold_learning_rate=0.2,
        threshold_l2=0.4,
        threshold_target=7.0,
        clipnorm=1.5,
    )
    config = optimizer.get_config()
    assert config["l2"] == 0.3
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, CoupledAdam)
    assert keras.optimizers.serialize(again) == keras.optimizers.serialize(optimizer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta_1": 1.0}, r"`beta_1` must be in \[0, 1\). Received: 1.0"),
        ({"beta_2": -0.1}, r"`beta_2` must be in \[0, 1\). Received: -0.1"),
        ({"beta_1": "most"}, "`beta_1` must be a number"),
        ({"l2": -1e-5}, "`l2` must be at least 0. Received: -1e-05"),
        ({"l2": float("nan")}, "`l2` must be a number, .* Received: nan"),
        ({"epsilon": -1}, "`epsilon` must be at least 0. Received: -1"),
        ({"threshold_l2": -2}, "`threshold_l2` must be at least 0. Received: -2"),
        ({"threshold_target": float("inf")}, "`threshold_target` must be a number"),
        ({"learning_rate": -0.1}, "`learning_rate` must be at least 0. Received: -0.1"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be a number"),
        (
            {"threshold_learning_rate": -0.1},
            "`threshold_learning_rate` must be at least 0. Received: -0.1",
        ),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CoupledAdam(**arguments)
