"""An embedding that only serves."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from pep_tf.layers import PackedEmbedding

FORMS = {"entries": None, "fields": (30, 20), "prefixes": None}


def table(form: str, seed: int = 0) -> np.ndarray:
    """float32 [50, 12], of which entries of their own, or columns of two fields, are not zero."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(50, 12)).astype(np.float32)
    if form == "entries":
        return values * (rng.random((50, 12)) < 0.1)
    if form == "prefixes":
        return values * (np.arange(12) < rng.integers(0, 9, (50, 1)))
    mask = np.zeros((50, 12), bool)
    mask[:30, [1, 5]] = True
    mask[30:, :] = True
    return values * mask


def layer(form: str, **options) -> PackedEmbedding:
    return PackedEmbedding.from_blocks([table(form)], field_sizes=FORMS[form], **options)


@pytest.mark.parametrize("form", FORMS)
def test_it_looks_up_what_was_packed(form):
    packed, rows = layer(form), table(form)
    names = {"entries": "PackedTable", "fields": "FieldTable", "prefixes": "PrefixTable"}
    assert packed.form == names[form]
    ids = np.random.default_rng(1).integers(0, 50, (4, 3))
    for given in (ids, tf.constant(ids, tf.int64), ids[0], np.int32(7)):
        found = packed(given)
        np.testing.assert_array_equal(found, rows[np.asarray(given)])
        assert found.shape == (*np.shape(given), 12)
    np.testing.assert_array_equal(packed.embeddings, rows)
    np.testing.assert_array_equal(packed.effective_table(), rows)
    assert packed.nnz() == np.count_nonzero(rows)
    assert packed.trainable_weights == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrong", [-1, 50, 2**31])
def test_an_id_outside_is_refused(form, wrong):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in \[0, 50\)"):
        layer(form)(tf.constant([3, wrong], tf.int64))


@pytest.mark.parametrize("form", FORMS)
def test_a_keras_file_is_as_small_as_the_entries(form, tmp_path):
    rng, size = np.random.default_rng(0), 20_000
    counts = rng.integers(0, 5, (size, 1)) if form == "prefixes" else [2]
    mask = rng.random((size, 16)) < 0.05 if form == "entries" else np.arange(16) < counts
    values = (rng.normal(size=(size, 16)) * mask).astype(np.float32)
    ids = keras.Input((2,), dtype="int32")
    model = keras.Model(ids, PackedEmbedding.from_blocks([values], name="items")(ids))
    model.save(tmp_path / "model.keras")
    stored = 4 * np.count_nonzero(values)
    assert os.path.getsize(tmp_path / "model.keras") < 1.6 * stored + 20_000
    again = keras.saving.load_model(tmp_path / "model.keras")
    asked = rng.integers(0, size, (5, 2))
    np.testing.assert_array_equal(again(asked), values[asked])


@pytest.mark.parametrize("dtype", ["float16", "int8", "int4"])
def test_numbers_in_fewer_bits(dtype):
    packed, rows = layer("entries", dtype=dtype), table("entries")
    exact = layer("entries")
    tolerance = 0.5 * np.abs(rows).max() if dtype == "int4" else 0.02
    np.testing.assert_allclose(packed.effective_table(), rows, atol=1.001 * tolerance)
    sizes = [sum(w.nbytes for w in x.arrays().values()) for x in (packed, exact)]
    assert sizes[0] < sizes[1]


def test_bags_and_masks_mean_what_they_do_in_the_other_layers():
    rows = table("entries")
    bags = layer("entries", combiner="mean", mask_zero=True)
    ids = np.array([[3, 0, 4], [0, 0, 0]])
    expected = np.stack([(rows[3] + rows[4]) / 2, np.zeros(12)])
    np.testing.assert_allclose(bags(ids), expected, rtol=1e-6)
    masked = layer("entries", mask_zero=True)
    assert masked.compute_mask(ids).numpy().tolist() == (ids != 0).tolist()


def test_rows_are_cast_to_what_the_policy_computes_in():
    assert layer("entries", policy="mixed_bfloat16")(np.array([1])).dtype == tf.bfloat16


def test_facts_of_another_table_are_refused():
    config = layer("entries").get_config()
    with pytest.raises(ValueError, match="must be of a table of 51 x 12"):
        PackedEmbedding(**{**config, "input_dim": 51})
    with pytest.raises(ValueError, match="`form` must be one of"):
        PackedEmbedding(**{**config, "form": "Sparse"})
