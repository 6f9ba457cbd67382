"""A store prepared from synthetic text against the rows and the truth that it was written from."""

import pathlib

import numpy as np
import pytest

from pep_tf.data import load
from pep_tf.data.clicklogs.build import ClickLogOptions
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.synthetic import write_raw_text
from pep_tf.data.synthetic.row_source import RowSource
from pep_tf.data.synthetic.store import planted
from pep_tf.errors import DataError

ROWS, N = 9000, {"criteo": 20_000, "avazu": 5000}


@pytest.fixture(scope="module", params=["criteo", "avazu"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    shape: str = request.param
    folder = tmp_path_factory.mktemp(shape)
    write_raw_text(folder / "raw", shape, rows=ROWS, num_features=N[shape])
    # A vocabulary of all that was seen has an id of its own for each feature.
    options = ClickLogOptions(encoding="vocabulary", min_count=1, count_on="all", seed=3)
    prepare(shape, folder / "raw", folder / "out", options)
    return shape, folder / "out"


def test_name_and_best_auc_are_those_of_the_rows(store):
    shape, folder = store
    data = load(f"synthetic-{shape}", data_dir=folder, num_features=N[shape])
    assert data.name == f"synthetic-{shape}"
    assert data.details["rows"] == ROWS
    assert data.details["synthetic"] is True
    assert 0.76 < data.details["best_auc"]["test"] < 0.84
    assert data.train.num_rows + data.validation.num_rows + data.test.num_rows == ROWS


def test_what_is_planted_reaches_the_ids(store):
    shape, folder = store
    data = load(f"synthetic-{shape}", data_dir=folder, num_features=N[shape])
    found = planted(data)
    source = RowSource(shape, N[shape])
    assert found.frequency.sum() == pytest.approx(source.schema.num_fields)
    assert found.frequency.shape == (data.schema.num_features,)
    # Of the features seen, each has its own id; those not seen share the first of their field.
    unseen = np.zeros(len(found.frequency), bool)
    unseen[np.array(data.schema.offsets)] = True
    counts = np.zeros(data.schema.num_features)
    for split in (data.train, data.validation, data.test):
        for ids, _ in split.batches(1000):
            np.add.at(counts, ids.numpy() + data.schema.offsets, 1)
    expected = found.frequency * ROWS
    often = (expected > 50) & ~unseen
    assert np.abs((counts - expected)[often] / np.sqrt(expected[often])).max() < 5
    seen = np.isin(np.arange(N[shape]), _seen(source))
    own = source.truth.useful_dims(np.flatnonzero(seen))
    assert found.useful_dims[~unseen].sum() == own.sum()


def test_what_is_planted_in_rows_that_are_made(store):
    shape, _ = store
    data = load(f"synthetic-{shape}", rows=100, num_features=N[shape])
    found = planted(data)
    features = np.arange(N[shape])
    truth = RowSource(shape, N[shape]).truth
    np.testing.assert_array_equal(found.useful_dims, truth.useful_dims(features))
    np.testing.assert_allclose(found.frequency, truth.frequency(features))


def test_other_rows_are_refused(store, tmp_path: pathlib.Path):
    shape, folder = store
    with pytest.raises(DataError, match="does not hold 9000 rows of synthetic-.*seed=1"):
        load(f"synthetic-{shape}", data_dir=folder, num_features=N[shape], seed=1)
    with pytest.raises(DataError, match="leave `rows` out"):
        load(f"synthetic-{shape}", data_dir=folder, rows=ROWS)
    with pytest.raises(DataError, match="no prepared store"):
        load(f"synthetic-{shape}", data_dir=tmp_path)
    with pytest.raises(DataError, match="not synthetic"):
        planted(load(shape, data_dir=folder))


def _seen(source: RowSource) -> np.ndarray:
    """Features that the first `ROWS` rows have."""
    blocks = [source.block(b)[0] for b in range(2)]
    ids = np.concatenate(blocks, axis=1)[:, :ROWS] + np.array(source.schema.offsets)[:, None]
    return np.unique(ids)
