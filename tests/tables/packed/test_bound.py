import math

import numpy as np
import pytest

from pep_tf.tables.packed.bound import bound_bytes, count_histogram


def test_counts_rows_by_their_number_of_entries():
    rows = np.float32([[0, 0, 0], [0, 2, 0], [1, 0, -1], [0, 0, 3]])
    assert count_histogram(rows).tolist() == [1, 2, 1, 0]


def test_hand_computed_bound():
    # Four rows of width 3 that keep 0, 1, 1 and 2 entries: 4 values of 4 bytes;
    # log2 3 bits each for the three rows that keep some; counts of entropy 1.5 bits, four times.
    expected = 16 + (3 * math.log2(3) + 4 * 1.5) / 8
    assert bound_bytes(np.array([1, 2, 1, 0])) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("histogram", "expected"), [([7, 0, 0], 0), ([0, 0, 5], 40), ([0, 9], 36)])
def test_tables_that_are_all_alike_cost_their_values_alone(histogram, expected):
    assert bound_bytes(np.array(histogram)) == pytest.approx(expected, abs=1e-9)
