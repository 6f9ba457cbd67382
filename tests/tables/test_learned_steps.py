"""Numbers rounded in training: forward and gradients against the paper's formulas, and what is stored."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import PEPEmbedding, SmallEmbedding, TicketEmbedding
from pep_tf.tables.learned_steps import LearnedSteps, rounded
from pep_tf.tables.packed import SteppedTable, shared_lookup

SIZES, DIM = (3, 5), 4
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(8, DIM)).astype(np.float32) * (RNG.random((8, DIM)) < 0.7)


def oracle(values, steps, fields, counts, most, upstream):
    """Equations 1 to 3 of Esser et al. 2020 and the gradient scale of its section 2.2, number by number."""
    out, of_values, of_steps = (np.zeros_like(x, np.float64) for x in (values, values, steps))
    for row, column in np.ndindex(values.shape):
        v, s = float(values[row, column]), float(steps[fields[row], column])
        out[row, column] = np.round(np.clip(v / s, -most, most)) * s
        if v / s <= -most or v / s >= most:
            slope = most * np.sign(v)
        else:
            slope, of_values[row, column] = np.round(v / s) - v / s, upstream[row, column]
        scale = 1 / np.sqrt(counts[fields[row], column] * most)
        of_steps[fields[row], column] += scale * slope * upstream[row, column]
    return out, of_values, of_steps


@pytest.mark.parametrize("most", [7, 127])
def test_forward_and_gradients_are_those_of_the_paper(most):
    rows = np.array([1, 7, 3, 1, 0])  # one twice
    fields = (rows >= SIZES[0]).astype(int)
    values, upstream = TABLE[rows], RNG.normal(size=(5, DIM)).astype(np.float32)
    steps = RNG.uniform(0.5, 1.5, (2, DIM)).astype(np.float32) / most  # some are clipped
    counts = RNG.integers(1, 9, (2, DIM)).astype(np.float32)
    expected = oracle(values, steps, fields, counts, most, upstream)
    assert (expected[1] == 0).any()
    given = tf.constant(values), tf.constant(steps)
    scale = tf.constant(1 / np.sqrt(counts * most))
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = rounded(*given, scale, tf.constant(fields), most)
        loss = tf.reduce_sum(found * upstream)
    for got, wanted in zip((found, *tape.gradient(loss, given)), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_block_begins_with_the_step_whose_numbers_are_nearest():
    steps = LearnedSteps("lsq4", None, 2)
    steps.build(keras.layers.Layer())
    table = np.float32([[0.7, 0], [-0.1, 0], [0.3, 0], [0, 0]])
    steps.begin(table, np.array([[1, 0], [1, 0], [1, 1], [0, 0]], bool))
    found = steps.values().numpy()
    np.testing.assert_allclose(found, [[0.1, 0.5 / 7]], rtol=1e-3)
    assert (found.astype(np.float16).astype(np.float32) == found).all()
    assert steps.counts.numpy().tolist() == [[3, 1]]


@pytest.mark.parametrize("dtype", ["lsq4", "lsq8"])
def test_a_layer_gives_what_is_stored_of_it(dtype):
    layer = TicketEmbedding.of_mask(
        np.packbits(TABLE != 0, axis=1), DIM, field_sizes=SIZES, stored_dtype=dtype
    )
    layer.entries.assign(TABLE[TABLE != 0][:, None])
    layer.begin_steps()
    layer.steps.logs.assign(RNG.normal(size=(2, DIM)) / 5)
    stored = layer.stored_form(dtype)
    tensors = stored.over({name: tf.constant(array) for name, array in stored.arrays.items()})
    read = tf.function(lambda rows: shared_lookup(tensors, rows))(tf.range(8))
    np.testing.assert_array_equal(read, layer.effective_table())
    np.testing.assert_array_equal(read, layer(tf.range(8)))
    plain = PEPEmbedding(
        8, DIM, pruning="none", field_sizes=SIZES, stored_dtype=dtype, weights=TABLE
    )
    plain.steps.first.assign(layer.steps.first)
    plain.steps.logs.assign(layer.steps.logs)
    np.testing.assert_array_equal(read, plain(tf.range(8)))
    np.testing.assert_array_equal(read, plain.effective_table())
    assert layer.nnz() == np.count_nonzero(read)
    assert stored.arrays["steps"].nbytes == 2 * (
        1 + np.count_nonzero((TABLE != 0)[:3].any(0)) + DIM
    )
    assert stored.nbytes == sum(array.nbytes for array in stored.arrays.values())
    again = type(layer).from_config(layer.get_config())
    assert again.steps.dtype == dtype
    assert isinstance(stored, SteppedTable)


def test_layers_that_cannot_round_say_so():
    with pytest.raises(ValueError, match="`stored_dtype` must be one of \\['lsq8', 'lsq4'\\]"):
        PEPEmbedding(4, 2, pruning="none", stored_dtype="float16")
    with pytest.raises(ValueError, match="`stored_dtype` is for pruning='none'"):
        PEPEmbedding(4, 2, stored_dtype="lsq4")
    with pytest.raises(ValueError, match="`stored_dtype` is not for a SmallEmbedding"):
        SmallEmbedding(4, 2, "hash", 2, stored_dtype="lsq4")
