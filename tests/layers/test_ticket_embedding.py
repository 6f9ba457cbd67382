import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.layers import PEPEmbedding, SmallEmbedding, TicketEmbedding, ticket_embedding


def of_mask(mask: np.ndarray) -> TicketEmbedding:
    return TicketEmbedding.of_mask(np.packbits(mask, axis=1), mask.shape[1])


def filled(mask: np.ndarray) -> tuple[TicketEmbedding, np.ndarray]:
    layer = of_mask(mask)
    table = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32) * mask
    if mask.any():
        layer.entries.assign(table[mask][:, None])
    return layer, table


@st.composite
def masks(draw):
    rows, dim = draw(st.integers(1, 20)), draw(st.integers(1, 18))
    share = draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 99))).random((rows, dim)) < share


@given(masks())
@settings(max_examples=30, deadline=None)
def test_looks_up_what_a_masked_table_would(mask):
    layer, table = filled(mask)
    rows = np.random.default_rng(1).integers(0, len(mask), (3, 5))
    np.testing.assert_array_equal(layer(rows), table[rows])
    np.testing.assert_array_equal(layer.effective_table(), table)
    assert layer.nnz() == mask.sum()
    assert layer.num_rows == mask.any(axis=1).sum()


def test_row_blocks_are_the_table_cut_in_order(monkeypatch):
    monkeypatch.setattr(ticket_embedding, "BLOCK_ENTRIES", 50)
    mask = np.random.default_rng(0).random((23, 7)) < 0.2
    mask[7:14] = False  # one block has nothing
    layer, table = filled(mask)
    blocks = list(layer.row_blocks())
    assert [len(block) for block in blocks] == [7, 7, 7, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), table)


def test_by_hand():
    layer = of_mask(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 1]], bool))
    assert layer.rows.numpy().tolist() == [0, 2]
    assert layer.starts.numpy().tolist() == [0, 1, 3]
    assert layer.columns.numpy().tolist() == [0, 0, 2]
    layer.entries.assign([[5.0], [6.0], [7.0]])
    assert layer(np.array([[2, 1]])).numpy().tolist() == [[[6, 0, 7], [0, 0, 0]]]


def test_gradient_is_that_of_the_masked_table():
    mask = np.random.default_rng(2).random((12, 4)) < 0.4
    layer, table = filled(mask)
    masked = PEPEmbedding(12, 4, pruning="none")
    masked.build()
    masked.table.assign(table)
    rows = np.array([[0, 3, 3], [7, 0, 11]])
    target = np.random.default_rng(3).normal(size=(2, 3, 4)).astype(np.float32)
    gradients = []
    for embedding, variable in ((layer, layer.entries), (masked, masked.table)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(embedding(rows) * target)
        gradients.append(tf.convert_to_tensor(tape.gradient(loss, variable.value)).numpy())
    np.testing.assert_allclose(gradients[0][:, 0], gradients[1][mask], atol=1e-6)


def test_no_rows_and_a_wide_table():
    layer, table = filled(np.ones((3, 300), bool))
    assert layer(np.zeros((0, 2), np.int64)).shape == (0, 2, 300)
    np.testing.assert_array_equal(layer(np.array([1])), table[1:2])


def test_round_trip(tmp_path):
    layer, table = filled(np.random.default_rng(4).random((9, 5)) < 0.3)
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    rows = np.array([[0, 8], [4, 4]])
    np.testing.assert_array_equal(again(rows), table[rows])


def test_mixed_precision_keeps_its_entries_in_float32():
    mask = np.ones((2, 2), bool)
    layer = TicketEmbedding.of_mask(np.packbits(mask, axis=1), 2, dtype="mixed_bfloat16")
    assert layer(np.array([0])).dtype == tf.bfloat16
    assert layer.entries.dtype == "float32"


@pytest.mark.parametrize("row", [-1, 3, 5, 2**32])
def test_a_row_that_is_not_there(row):
    layer, _ = filled(np.array([[True], [False], [True]]))
    for table in (layer, SmallEmbedding(3, 2, "hash", 2)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in \[0, 3\)"):
            table(tf.constant([[0, row]], tf.int64))


@pytest.mark.parametrize(("nnz", "rows"), [(3, 0), (1, 2), (9, 2), (30, 12)])
def test_counts_that_contradict_each_other(nnz, rows):
    with pytest.raises(ValueError, match="must hold `nnz` entries"):
        TicketEmbedding(10, 4, nnz, rows)


def test_more_than_int32_can_name():
    with pytest.raises(ValueError, match="`nnz` must be at most 2,147,483,647"):
        TicketEmbedding(2**31 - 1, 4, nnz=2**31, num_rows=2**30)
    with pytest.raises(ValueError, match="`input_dim` must be at most .* Received: 2147483648"):
        TicketEmbedding(2**31, 4, nnz=2, num_rows=2)


class OfRows(keras.regularizers.Regularizer):
    """Looks at rows, not at entries one by one."""

    def __call__(self, table):
        return keras.ops.sum(keras.ops.norm(table + 1e-3, axis=1))

    def get_config(self):
        return {}


MASK = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]], bool)


@pytest.mark.parametrize("mask", [MASK, np.zeros((4, 3), bool)], ids=["some", "none"])
@pytest.mark.parametrize("name", ["l1", "l2", OfRows()], ids=["l1", "l2", "own"])
def test_a_regularizer_gives_the_term_of_the_masked_table(name, mask):
    layer = TicketEmbedding.of_mask(np.packbits(mask, axis=1), 3, embeddings_regularizer=name)
    table = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32) * mask
    if mask.any():
        layer.entries.assign(table[mask][:, None])
    regularizer, variable = keras.regularizers.get(name), tf.Variable(table)
    with tf.GradientTape(persistent=True) as tape:
        loss, expected = sum(layer.losses), regularizer(variable)
    assert float(loss) == pytest.approx(float(expected), abs=1e-6)
    if mask.any():
        gradient = tape.gradient(loss, layer.entries.value)
        whole = tape.gradient(expected, variable).numpy()
        np.testing.assert_allclose(gradient[:, 0], whole[mask], atol=1e-6)


@pytest.mark.parametrize(
    "constraint",
    [keras.constraints.MaxNorm(0.5, axis=1), keras.constraints.NonNeg()],
    ids=["norm", "sign"],
)
@pytest.mark.parametrize("mask", [MASK, np.zeros((4, 3), bool)], ids=["some", "none"])
def test_a_constraint_holds_for_the_masked_table(constraint, mask):
    options = {"embeddings_constraint": constraint, "name": "table"}
    layer = TicketEmbedding.of_mask(np.packbits(mask, axis=1), 3, **options)
    again = TicketEmbedding.from_config(layer.get_config())
    assert type(again.embeddings_constraint) is type(constraint)
    table = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32) * mask
    if mask.any():
        layer.entries.assign(table[mask][:, None])
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(np.arange(4), np.zeros((4, 3)), verbose=0)
    expected = np.array(constraint(tf.constant(table)))
    np.testing.assert_allclose(layer.effective_table(), expected, atol=1e-6)
