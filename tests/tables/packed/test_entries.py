import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.tables.packed.entries import Entries


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.sampled_from([1, 3, 8, 9, 70]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 50),
)
def test_the_table_comes_back_in_blocks_of_any_size(seed, rows, dim, kept, size):
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, dim)) < kept * rng.random((rows, 1)) * 2
    table = np.where(mask, rng.normal(size=(rows, dim)), 0).astype(np.float32)
    entries = Entries.of(np.array_split(table, 3))
    blocks = list(entries.blocks(size))
    assert {len(block) for block in blocks[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate(blocks), table)
    mask = np.unpackbits(entries.masks(), axis=1, count=dim, bitorder="little")
    np.testing.assert_array_equal(mask, table[entries.places] != 0)


def test_rows_that_get_a_place_have_an_empty_mask():
    table = np.float32([[0, 0], [1, 0], [0, 0]])
    entries = Entries.of([table]).with_places(np.array([True, False, False]))
    assert entries.masks().tolist() == [[0], [1]]
    np.testing.assert_array_equal(np.concatenate(list(entries.blocks(2))), table)
    assert entries.bound_bytes == pytest.approx(4 + (1 + 3 * 0.9182958) / 8)
