import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.field_columns import FieldColumns
from pep_tf.tables.packed.field_table import FieldTable

SIZES = (40, 3, 25, 1, 60, 30)
DIM = 12


def by_fields(widths, sizes=SIZES, dim=DIM, seed=0) -> np.ndarray:
    """A table whose fields keep so many columns, which differ from field to field."""
    rng = np.random.default_rng(seed)
    blocks = []
    for size, width in zip(sizes, widths, strict=True):
        block = rng.normal(size=(size, dim)).astype(np.float32)
        block[:, rng.permutation(dim)[width:]] = 0
        blocks.append(block)
    return np.concatenate(blocks)


def rows_by_field(sizes, batch: int, seed: int = 1) -> np.ndarray:
    offsets = np.cumsum([0, *sizes[:-1]])
    ids = np.random.default_rng(seed).integers(0, sizes, (batch, len(sizes)))
    return (ids + offsets).astype(np.int32)


@pytest.mark.parametrize(
    "widths",
    [
        (2, 12, 3, 12, 2, 5),
        (12, 12, 12, 12, 12, 12),
        (0, 12, 0, 12, 12, 0),
        (0, 0, 0, 0, 0, 0),
        (1, 2, 3, 4, 5, 6),
        (3, 3, 3, 3, 3, 3),
        (0, 0, 4, 0, 0, 0),
    ],
)
def test_every_row_comes_back_by_field_and_in_any_order(widths):
    table = by_fields(widths)
    stored = FieldTable.of(Entries.of(np.array_split(table, 5)), SIZES)
    rows = np.random.default_rng(2).permutation(np.append(np.arange(len(table)), [0, 0, 7]))
    np.testing.assert_array_equal(stored.lookup(tf.constant(rows, tf.int32)), table[rows])
    for batch in (33, 1, 0):
        rows = rows_by_field(SIZES, batch)
        found = tf.function(stored.by_field)(tf.constant(rows))
        np.testing.assert_array_equal(found, table[rows.ravel()])
        dense, (fields, columns) = table[rows], stored.kept_columns
        whole, single = stored.kept_numbers(tf.constant(rows))
        np.testing.assert_array_equal(whole, dense[:, fields])
        np.testing.assert_array_equal(single, dense.reshape(batch, len(SIZES) * DIM)[:, columns])
    assert sum(array.nbytes for array in stored.arrays.values()) == stored.nbytes


@settings(max_examples=25, deadline=None)
@given(st.data(), st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 20))
def test_any_table_comes_back(data, sizes, dim):
    widths = data.draw(st.lists(st.integers(0, dim), min_size=len(sizes), max_size=len(sizes)))
    table = by_fields(widths, sizes, dim)
    table[:: data.draw(st.integers(1, 5))] = 0  # rows that keep nothing of their field's columns
    stored = FieldTable.of(Entries.of([table]), sizes)
    np.testing.assert_array_equal(stored.lookup(tf.range(len(table))), table)
    rows = rows_by_field(sizes, 9)
    np.testing.assert_array_equal(stored.by_field(tf.constant(rows)), table[rows.ravel()])


def test_a_field_is_stored_in_its_own_columns_alone():
    table = by_fields((2, 12, 2, 12, 0, 2))
    stored = FieldTable.of(Entries.of([table]), SIZES)
    shapes = {name: array.shape for name, array in stored.arrays.items()}
    assert shapes == {"pieces": (1 + 40 + 25 + 30, 2), "whole": (1 + 3 + 1, 12)}
    assert stored.nbytes == 4 * (2 * 96 + 12 * 5)
    assert stored.nnz == 2 * 95 + 12 * 4


def columns_of(widths, sizes, dim):
    return FieldColumns.of(Entries.of([by_fields(widths, sizes, dim)]), sizes)


def test_pieces_are_as_long_as_costs_little():
    sizes = [1000, 10, 1000]
    found = columns_of((3, 2, 6), sizes, 64)
    assert found.piece == 3
    assert [len(own) for own in found.columns] == [3, 3, 6]
    # Nearly whole rows become whole, and a few of a small field do beside large ones.
    assert [len(own) for own in columns_of((3, 2, 60), sizes, 64).columns] == [3, 64, 64]
    # No piece but of one number suits both.
    found = columns_of((2, 3), [1000, 1000], 64)
    assert (found.piece, [len(own) for own in found.columns]) == (1, [2, 3])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 16)), min_size=1, max_size=9),
)
def test_what_fills_up_costs_little(fields):
    sizes, widths = map(np.array, zip(*fields, strict=True))
    found = columns_of(widths, sizes, 16)
    stored = np.array([len(own) for own in found.columns])
    needed = np.where(widths >= 12, 16, widths)
    assert (stored >= widths).all()
    assert sizes @ stored <= 1.05 * sizes @ needed
    assert set((stored[stored < 16] % found.piece).tolist()) <= {0}


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float16", 2**-11), ("int8", 0.5 / 127), ("int4", 0.5)]
)
def test_smaller_numbers(dtype, tolerance):
    table = by_fields((2, 12, 3, 12, 2, 5))
    stored = FieldTable.of(Entries.of([table]), SIZES, dtype=dtype)
    found = stored.lookup(tf.range(len(table))).numpy()
    assert 0 < np.abs(found - table).max() <= tolerance * (1 + 1e-6) * np.abs(table).max()
    exact = FieldTable.of(Entries.of([table]), SIZES).nbytes
    assert stored.nbytes < exact * {"float16": 0.51, "int8": 0.35, "int4": 0.25}[dtype]


def test_sizes_of_another_table_are_refused():
    with pytest.raises(ValueError, match=r"`field_sizes` must sum to .* 159\. Received a sum of 9"):
        FieldTable.of(Entries.of([by_fields((1,) * 6)]), (4, 5))
