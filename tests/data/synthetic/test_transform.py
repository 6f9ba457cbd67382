import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data.synthetic import synthetic
from pep_tf.data.synthetic.shape import get_shape
from pep_tf.data.synthetic.text import tokens
from pep_tf.data.synthetic.transform import SyntheticTransform


@pytest.mark.parametrize("shape", ["criteo", "avazu"])
def test_undoes_the_spelling(shape):
    data = synthetic(shape, rows=3000, num_features=50_000)
    ids = np.concatenate([batch.numpy() for batch, _ in data.train.batches(1000)])
    ids = np.concatenate([ids, [np.zeros(ids.shape[1]), np.array(data.schema.sizes) - 1]])
    raw = {
        name: tf.constant(tokens(shape, field, ids[:, field]))
        for field, name in enumerate(data.schema.names)
    }
    assert raw.keys() == data.transform.raw_columns().keys()
    np.testing.assert_array_equal(data.transform(raw), ids)
    examples = data.transform({n: tf.constant(v) for n, v in data.examples.items()})
    np.testing.assert_array_equal(examples, next(iter(data.train.batches(2)))[0])


def test_what_spells_no_id_is_unknown():
    schema = get_shape("criteo").schema(5000)
    served = SyntheticTransform("criteo", schema)
    integers = ["", "0", "00", "-0.0", "1.", "-1", "3", "9" * 19]
    large = tokens("criteo", 15, np.array([schema.sizes[15]]))[0]
    hexes = ["", large] * 4
    raw = {n: ["" for _ in integers] for n in schema.names} | {"I1": integers, "C3": hexes}
    ids = served({name: tf.constant(values) for name, values in raw.items()}).numpy()
    assert ids[:, 0].tolist() == [0, 1, 1, 1, 2, -1, -1, -1]
    assert ids[:, 15].tolist() == [-1] * 8


@pytest.mark.parametrize("column", ["I1", "C3"])
@pytest.mark.parametrize("text", ["x", " 0", "CB530E03", "cb530e0", "cb530e030", b"\xff" * 8])
def test_what_no_row_may_hold_is_refused(column, text):
    schema = get_shape("criteo").schema(5000)
    raw = {name: tf.constant([text if name == column else ""]) for name in schema.names}
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{column}` must be "):
        SyntheticTransform("criteo", schema)(raw)


def test_integers_too_large_for_a_text_leave_no_transform(monkeypatch):
    monkeypatch.setattr("pep_tf.data.synthetic.text.MAX_INTEGER_ID", 3)
    data = synthetic("criteo", rows=100, num_features=77_777)
    assert data.transform is None
    assert data.examples is None
