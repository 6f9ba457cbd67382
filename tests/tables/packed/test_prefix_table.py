import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.tables.packed import Entries, PackedTable, pack
from pep_tf.tables.packed.pair import pack_pair
from pep_tf.tables.packed.prefix_table import PrefixTable


def prefixes(widths, dim: int, seed: int = 0) -> np.ndarray:
    """A table whose rows keep their first so many numbers."""
    values = np.random.default_rng(seed).normal(size=(len(widths), dim)).astype(np.float32)
    return np.where(np.arange(dim) < np.array(widths)[:, None], values, 0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=90), st.integers(0, 3))
def test_every_row_comes_back(widths, more):
    table = prefixes(widths, 30 + more)
    stored = PrefixTable.of(Entries.of(np.array_split(table, 3)), "float32")
    rows = np.random.default_rng(1).permutation(np.append(np.arange(len(table)), [0, 0]))
    np.testing.assert_array_equal(stored.lookup(tf.constant(rows, tf.int32)), table[rows])
    assert sum(array.nbytes for array in stored.arrays.values()) == stored.nbytes


@pytest.mark.parametrize("dtype", ["float16", "int8", "int4"])
def test_smaller_numbers_and_the_bytes_they_take(dtype):
    widths = np.random.default_rng(2).integers(0, 14, 700)
    table = prefixes(widths, 64)
    stored = PrefixTable.of(Entries.of([table]), dtype)
    steps = {"float16": 2**10, "int8": 127, "int4": 1}[dtype]
    error = np.abs(stored.lookup(tf.range(700)).numpy() - table)
    assert error.max() <= 0.5 / steps * np.abs(table).max()
    numbers, scales = 1 + widths.sum(), (1 + widths.sum()) // 64 + 2
    values = {"float16": 2 * numbers, "int8": numbers + 4 * scales}
    values["int4"] = (numbers + 1) // 2 + 2 * scales
    assert stored.stored_widths().tolist() == widths.tolist()
    # Half a byte a row, and a position every 32, two bytes where numbers are as few.
    assert stored.nbytes == pytest.approx(values[dtype] + 22 * (16 + 2), abs=8)
    assert stored.nbytes < PackedTable.of([table], dtype=dtype).nbytes


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=18, max_size=18))
def test_16_widths_leave_the_fewest_zeros(counts):
    widths = np.repeat(np.arange(1, 19), counts) if any(counts) else np.arange(1, 19)
    stored = PrefixTable.of(Entries.of([prefixes(widths, 18)]), "float32")
    there = sorted(set(widths.tolist()))
    filled = min(
        sum(min(x for x in chosen if x >= width) for width in widths)
        for chosen in itertools.combinations(there, min(16, len(there)))
        if chosen[-1] == there[-1]
    )
    assert len(stored.arrays["values"]) == 1 + filled


@pytest.mark.parametrize(("empty", "indexed"), [(0.1, False), (0.6, True)])
def test_empty_rows_have_no_width_where_an_index_takes_fewer_bytes(empty, indexed):
    draw = np.random.default_rng(5)
    table = prefixes(draw.integers(1, 16, 4000) * (draw.random(4000) > empty), 16)
    stored = PrefixTable.of(Entries.of([table]), "float32")
    rows = np.count_nonzero(table.any(axis=1)) if indexed else 4000
    assert stored.arrays["widths"].shape == (-(-rows // 32), 16)
    assert ("rows_0_groups" in stored.arrays) == indexed
    assert stored.parts()["rows"] < 4000 / 2 + 4 * 125 + 1
    assert stored.stored_widths().tolist() == np.count_nonzero(table, axis=1).tolist()
    np.testing.assert_array_equal(stored.lookup(tf.range(4000)), table)


def test_it_is_taken_where_it_takes_fewer_bytes():
    widths = np.random.default_rng(3).integers(0, 9, 900)
    table = prefixes(widths, 16)
    assert isinstance(pack([table]), PrefixTable)
    shuffled = np.random.default_rng(4).permuted(table, axis=1)
    assert isinstance(pack([shuffled]), PackedTable)
    weights = np.ones((900, 1), np.float32)
    main, alone = pack_pair(Entries.of([table]), Entries.of([weights]), ("int8", "int4"), [900])
    assert isinstance(main, PrefixTable)
    rows = tf.constant([899, 3], tf.int32)
    np.testing.assert_allclose(alone.lookup(rows), 1, rtol=1e-3)


def test_numbers_that_became_0_take_no_more_bytes_than_they_had():
    rng = np.random.default_rng(5)
    table = prefixes(rng.integers(30, 65, 700), 64)
    most = pack([table], dtype="int4").nbytes
    table[rng.random(table.shape) < 0.3] = 0
    assert pack([table], dtype="int4").nbytes <= most
