import itertools
import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.serving_model import MadeUpTicket
from pep_tf.layers import TicketEmbedding
from pep_tf.tables.packed.entries import WHOLE
from pep_tf.tables.packed.packed_table import PackedTable


def unpacked(table: PackedTable) -> np.ndarray:
    return table.lookup(tf.range(table.num_rows)).numpy()


def zipf_table(rows: int, dim: int, kept: float, seed: int = 0) -> np.ndarray:
    """Rates that fall with the 1.5th power of the rank, rows in random order."""
    rng = np.random.default_rng(seed)
    odds = np.arange(1, rows + 1) ** -1.5
    low, high = 0.0, 1e9
    for _ in range(80):
        middle = (low + high) / 2
        rate = middle * odds / (1 + middle * odds)
        low, high = (low, middle) if rate.mean() > kept else (middle, high)
    mask = rng.random((rows, dim)) < rng.permutation(rate)[:, None]
    return np.where(mask, rng.normal(size=(rows, dim)), 0).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.data(),
    st.integers(1, 90),
    st.sampled_from([1, 3, 8, 9, 64, 65, 130]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_every_row_comes_back_bit_for_bit(data, rows, dim, rate_of_rows, rate_of_entries):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    mask = (rng.random((rows, 1)) < rate_of_rows) & (rng.random((rows, dim)) < rate_of_entries)
    table = np.where(mask, rng.normal(size=(rows, dim)), 0).astype(np.float32)
    cuts = data.draw(st.lists(st.integers(0, rows), max_size=3).map(sorted))
    packed = PackedTable.of(np.split(table, cuts))
    np.testing.assert_array_equal(unpacked(packed), table)


@settings(max_examples=10, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 12)),
        elements=st.one_of(
            st.just(0.0), st.floats(width=32, allow_nan=False, allow_infinity=False)
        ),
    )
)
def test_any_finite_numbers_come_back(table):
    np.testing.assert_array_equal(unpacked(PackedTable.of([table])), table)


@pytest.mark.parametrize("dim", [1, 7, 64])
@pytest.mark.parametrize("rows", [1, 500])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_empty_and_full_tables(rows, dim, value):
    table = np.full((rows, dim), value, np.float32)
    packed = PackedTable.of([table])
    np.testing.assert_array_equal(unpacked(packed), table)
    if value:  # Nothing but the values, and the zeros of a row that would be empty.
        assert packed.nbytes == table.nbytes + 4 * dim


def test_a_field_without_a_survivor_and_a_last_row_that_is_empty():
    table = zipf_table(3000, 16, 0.05)
    table[1000:2000] = 0
    table[-1] = 0
    packed = PackedTable.of(np.array_split(table, 7))
    np.testing.assert_array_equal(unpacked(packed), table)


@pytest.mark.parametrize("kept", [0.001, 0.01, 0.1, 0.6])
def test_positions_of_64_bits_give_the_same(kept):
    table = zipf_table(4000, 24, kept)
    packed = PackedTable.of([table], integers=np.int64)
    np.testing.assert_array_equal(unpacked(packed), table)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("dim", [1, 24])
def test_spread_decodes_each_row_once_and_gives_back_all(kept, dim):
    table = zipf_table(2000, dim, kept) if 0 < kept < 1 else np.full((2000, dim), kept, np.float32)
    rows = np.random.default_rng(1).integers(0, 2000, 700).astype(np.int32)
    packed = PackedTable.of([table])
    different, order = tf.unique(rows)
    np.testing.assert_array_equal(packed.expand(packed.find(different), order), table[rows])
    nothing = tf.zeros([0], tf.int32)
    assert packed.expand(packed.find(nothing), nothing).shape == (0, dim)


def test_more_than_2_to_the_31_entries_from_row_blocks():
    """N x d is beyond int32, and no more than a block is ever held."""
    empty = np.zeros((2**18, 64), np.float32)
    last = np.zeros((1, 64), np.float32)
    last[0, 1::9] = np.arange(1, 8)
    packed = PackedTable.of(itertools.chain([last], itertools.repeat(empty, 128), [last]))
    assert packed.num_rows * packed.dim > 2**31
    rows = np.array([0, 1, packed.num_rows - 2, packed.num_rows - 1], np.int32)
    expected = np.concatenate([last, empty[:2], last])
    np.testing.assert_array_equal(packed.lookup(tf.constant(rows)), expected)
    assert packed.nbytes < 2000


def test_a_ticket_is_packed_without_its_table():
    mask = np.zeros((300_000, 8), np.uint8)
    mask[::1000, 0] = 129
    layer = TicketEmbedding.of_mask(mask, 64)
    layer.entries.assign(np.random.default_rng(0).normal(size=(600, 1)))
    tracemalloc.start()
    packed = PackedTable.of(layer.row_blocks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 300_000 * 64 / 2
    assert packed.nnz == 600


def test_lookup_takes_rows_in_any_order_and_none():
    table = zipf_table(200, 8, 0.2)
    packed = PackedTable.of([table])
    rows = np.array([5, 199, 5, 0], np.int32)
    np.testing.assert_array_equal(packed.lookup(tf.constant(rows)), table[rows])
    assert packed.lookup(tf.zeros([0], tf.int32)).shape == (0, 8)


def many_fields(rows: int, dim: int, kept: float) -> Iterable[np.ndarray]:
    """The mask of `benchmarks.serving`."""
    return MadeUpTicket.of(rows, dim, kept, steepness=1.5).blocks()


def one_field(rows: int, dim: int, kept: float) -> Iterable[np.ndarray]:
    return np.array_split(zipf_table(rows, dim, kept), 4)


@pytest.mark.parametrize(
    ("blocks", "kept", "most"),
    [
        (many_fields, 0.001, 1.25),
        (many_fields, 0.01, 1.15),
        (many_fields, 0.1, 1.15),
        (one_field, 0.001, 1.25),
        # 1.167: the bar of 1.15 is for many fields.
        (one_field, 0.01, 1.17),
        (one_field, 0.1, 1.15),
    ],
)
def test_bytes_over_the_bound(blocks, kept, most):
    packed = PackedTable.of(blocks(100_000, 64, kept))
    assert sum(array.nbytes for array in packed.arrays.values()) == packed.nbytes
    assert packed.nbytes <= most * packed.bound_bytes


def test_the_arrays_hold_no_array_of_n_times_d():
    packed = PackedTable.of([zipf_table(5000, 64, 0.01)])
    assert max(array.size for array in packed.arrays.values()) < 5000 * 64 / 20


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float16", 2**-11), ("int8", 0.5 / 127 * (1 + 1e-6)), ("int4", 0.5)],
)
def test_smaller_numbers(dtype, tolerance):
    table = zipf_table(4000, 16, 0.1)
    packed = PackedTable.of([table], dtype=dtype)
    error = np.abs(unpacked(packed) - table)
    assert (error <= tolerance * np.abs(table).max()).all()
    assert ((unpacked(packed) != 0) <= (table != 0)).all()
    counts = np.count_nonzero(table, axis=1)
    whole = counts >= WHOLE * 16
    assert whole.any()
    entries, rows = 1 + counts[~whole].sum(), 1 + whole.sum()  # place 0 of each is of zeros
    stored = entries + 16 * rows
    # A scale for 64 entries, and for the 4 rows that have as many, and one for what is behind them.
    scales = (entries - 1) // 64 + (rows - 1) // 4 + 4
    halves = (entries + 1) // 2 + 8 * rows
    expected = {"float16": 2 * stored, "int8": stored + 4 * scales, "int4": halves + 2 * scales}
    assert packed.parts()["values"] == expected[dtype]


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e34])
def test_float16_holds_numbers_of_any_size(scale):
    table = (zipf_table(300, 8, 0.2) * scale).astype(np.float32)
    found = unpacked(PackedTable.of([table], dtype="float16"))
    # 11 bits of each number, but for those 2^29 times smaller than the largest.
    spacing = np.abs(table) * 2**-11 + np.abs(table).max() * 2**-39 + 2**-149
    assert (np.abs(found - table) <= spacing).all()


@pytest.mark.parametrize(
    ("blocks", "arguments", "message"),
    [
        ([], {}, "at least one row"),
        ([np.zeros((0, 4), np.float32)], {}, "at least one row"),
        ([np.zeros((2, 4)), np.zeros((2, 5))], {}, r"one width.*\[4, 5\]"),
        ([np.zeros((2, 4))], {"dtype": "float64"}, "`dtype` must be one of"),
    ],
)
def test_bad_arguments(blocks, arguments, message):
    with pytest.raises(ValueError, match=message):
        PackedTable.of(blocks, **arguments)
