import numpy as np
import pytest
import tensorflow as tf

from pep_tf.tables.packed.flags import Flags
from pep_tf.tables.packed.octets import Octets, number_of_ones, pack_bits, steps
from pep_tf.tables.packed.row_index import RowIndex


def test_bits_go_lowest_first():
    assert pack_bits(np.array([1, 0, 1, 0, 0, 0, 0, 0, 1], bool)).tolist() == [5, 1]


def test_steps_of_a_byte():
    lowest = -(2**31)
    expected = [0, lowest + 1, 1] + [lowest + 2] * 5  # 5 = bits 0 and 2
    assert steps(tf.constant([5]), tf.int32).numpy().tolist() == [expected]


def test_first_counts_the_bits_of_all_bytes_before():
    stored = np.random.default_rng(0).integers(0, 256, 100).astype(np.uint8)
    octets = Octets(Octets.encode(stored, "bits"), "bits")
    padded = np.concatenate([[0], stored])  # the place of nothing
    ones = np.unpackbits(padded[:, None].astype(np.uint8), axis=1).sum(1)
    places = tf.range(101)
    np.testing.assert_array_equal(octets.at(places), padded)
    np.testing.assert_array_equal(octets.first(places), 1 + np.cumsum(ones) - ones)


@pytest.mark.parametrize("group", [8, 32, 64])
def test_groups_of_bits_tell_set_ones_from_others(group):
    bits = np.random.default_rng(0).random(900) < 0.3
    arrays = Flags.encode([bits], None, "bits", zeros=0, group=group)
    flags = Flags(arrays, "bits", group=group)
    (places,), *_ = flags.find(tf.range(900))
    np.testing.assert_array_equal(np.maximum(places, 0), np.cumsum(bits) * bits)


@pytest.mark.parametrize("integers", [np.int32, np.int64])
@pytest.mark.parametrize("count", [0, 1, 31, 700])
def test_flags_answer_for_bits_and_a_byte_at_once(count, integers):
    rng = np.random.default_rng(count)
    kinds = rng.random((2, count)) < 0.4
    octets = rng.integers(0, 256, count).astype(np.uint8)
    arrays = Flags.encode(list(kinds), octets, "flags", integers)
    flags = Flags(arrays, "flags", has_octets=True)
    found, start, own = flags.find(tf.range(count + 1))
    for places, bits in zip(found, kinds, strict=True):
        np.testing.assert_array_equal(np.maximum(places, 0), np.append(0, np.cumsum(bits) * bits))
    np.testing.assert_array_equal(own, np.append(0, octets))
    ones = np.append(0, number_of_ones(octets))
    np.testing.assert_array_equal(start, 1 + np.cumsum(ones) - ones)
    arrays = Flags.encode([kinds[0]], None, "flags", integers)
    (alone,), *_ = Flags(arrays, "flags").find(tf.range(count + 1))
    np.testing.assert_array_equal(np.maximum(alone, 0), np.maximum(found[0], 0))


@pytest.mark.parametrize("rate", [0.0, 0.0005, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 5000])
def test_row_index_finds_ranks(rate, rows):
    occupied = np.random.default_rng(1).random(rows) < rate
    ranks = np.where(occupied, np.cumsum(occupied), 0)
    index = RowIndex(RowIndex.encode(occupied))
    np.testing.assert_array_equal(index.find(tf.range(rows)), ranks)


def test_sparser_tables_have_more_levels_and_a_level_has_to_be_worth_it():
    levels = []
    for rate in (0.5, 0.02, 0.0005):
        occupied = np.random.default_rng(1).random(500_000) < rate
        levels.append(len(RowIndex(RowIndex.encode(occupied)).levels))
    assert levels == sorted(set(levels))
    assert levels[0] == 1
    assert len(RowIndex(RowIndex.encode(occupied, worth=10**6)).levels) == 1
