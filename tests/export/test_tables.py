import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data.schema import FeatureSchema
from pep_tf.export.tables import PackedTables
from pep_tf.tables.packed.entries import Entries
from pep_tf.tables.packed.pair import SharedWeights
from tests.export.towers import random_ids, sparse_table

ROWS = 3000
SIZES = (ROWS - 2, 1, 1)


def schema_of(sizes) -> FeatureSchema:
    return FeatureSchema.of({str(place): size for place, size in enumerate(sizes)})


def spread(tables: PackedTables, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    function = tf.function(lambda r: tables.look_up(r, tf.no_op()))
    embedded, first_order = function(tf.constant(rows.reshape(-1, 3), tf.int32))
    return embedded.numpy(), first_order.numpy()


@pytest.mark.parametrize("dim", [1, 5, 64, 70])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("linear", ["none", "few", "of the same rows", "of two rows more", "all"])
def test_every_row_and_weight_comes_back(dim, kept, linear):
    table = sparse_table(ROWS, dim, kept)
    table[7:60] = 0
    weights = np.random.default_rng(1).normal(size=(ROWS, 1)).astype(np.float32)
    occupied = table.any(axis=1)
    keep = {
        "none": np.zeros(ROWS, bool),
        "few": np.arange(ROWS) % 50 == 0,
        "of the same rows": occupied & (np.arange(ROWS) % 3 > 0),
        "of two rows more": occupied | np.isin(np.arange(ROWS), [7, 59]),
        "all": np.ones(ROWS, bool),
    }[linear]
    weights[~keep] = 0
    tables = PackedTables.of(
        Entries.of([table]), Entries.of([weights]), ("float32", "float32"), schema_of(SIZES)
    )
    rows = np.random.default_rng(2).permutation(np.append(np.arange(ROWS), np.arange(99)))
    embedded, first_order = spread(tables, rows)
    np.testing.assert_array_equal(embedded, table[rows])
    np.testing.assert_array_equal(first_order, weights[rows])
    nothing = spread(tables, np.zeros(0, np.int32))
    assert [numbers.shape for numbers in nothing] == [(0, dim), (0, 1)]


@pytest.mark.parametrize("sizes", [(ROWS - 2, 1, 1), (1, 1, ROWS - 2), (1000, 1000, 1000)])
def test_fields_are_halved_by_the_rows_that_a_batch_meets(sizes):
    table = sparse_table(ROWS, 5, 0.3)
    tables = PackedTables.of(Entries.of([table]), None, ("float32", "float32"), schema_of(sizes))
    schema = FeatureSchema.of({f"f{i}": size for i, size in enumerate(sizes)})
    rows = (random_ids(schema, 200) + schema.offsets).astype(np.int32)
    embedded, first_order = tables.look_up(tf.constant(rows), tf.no_op())
    np.testing.assert_array_equal(embedded, table[rows.ravel()])
    assert first_order is None


def test_weights_share_the_index_of_the_table_where_that_saves_bytes():
    table = sparse_table(50_000, 16, 0.1)
    of_its_rows = table.any(axis=1, keepdims=True) * np.float32(0.5)
    everywhere = np.full((50_000, 1), 0.5, np.float32)
    shared = PackedTables.of(
        Entries.of([table]), Entries.of([of_its_rows]), ("float32", "float32"), schema_of([50_000])
    )
    apart = PackedTables.of(
        Entries.of([table]), Entries.of([everywhere]), ("float32", "float32"), schema_of([50_000])
    )
    assert isinstance(shared.first_order, SharedWeights)
    assert not isinstance(apart.first_order, SharedWeights)
    assert shared.first_order.parts()["rows"] < 50_000 / 8 / 3
    for tables in (shared, apart):
        stored = sum(int(np.prod(v.shape)) * v.dtype.size for v in tables.variables)
        parts = [*tables.table.parts().values(), *tables.first_order.parts().values()]
        assert stored == sum(parts)
