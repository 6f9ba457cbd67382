"""The order and the resuming of streams, from a store and from raw text in memory."""

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data.clicklogs import CRITEO, ClickLogOptions, click_log, load_criteo
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.dataset import Split, check_data
from pep_tf.data.store import bins as bins_lib
from pep_tf.data.store import deal, windows
from pep_tf.errors import DataError
from tests.data.clicklogs.rows_for_tests import criteo_lines, write

BATCH = 32


@pytest.fixture(scope="module", params=["store", "raw"])
def train(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A training split of many blocks, shards and windows."""
    folder = tmp_path_factory.mktemp("streams")
    text = write(folder / "train.txt", criteo_lines(1500))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins_lib, "ROWS_PER_BIN", 300)
        patch.setattr(deal, "BLOCK_ROWS", 20)
        for module in (windows, __import__("pep_tf.data.store.splits", fromlist=["store"])):
            patch.setattr(module, "WINDOW_BLOCKS", 3)
        patch.setattr(click_log, "BLOCK_BYTES", 8000)
        if request.param == "store":
            prepare("criteo", text, folder / "out")
            yield load_criteo(folder / "out").train
        else:
            yield load_criteo(text).train


def stream(split: Split, **arguments: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(split.batches(BATCH, **arguments).as_numpy_iterator())


def all_rows(batches: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.concatenate([np.column_stack([y, x]) for x, y in batches])


def in_order(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def test_batches_have_the_promised_shapes(train: Split):
    spec_ids, spec_labels = train.batches(BATCH).element_spec
    assert spec_ids.dtype == tf.int32
    assert spec_labels.dtype == tf.float32
    sizes = [len(y) for _, y in stream(train, seed=0)]
    assert sizes[:-1] == [BATCH] * (len(sizes) - 1)
    assert sum(sizes) == train.num_rows
    assert stream(train)[0][0].shape == (BATCH, 39)


def test_order_depends_on_seed_and_epoch_alone(train: Split):
    first = all_rows(stream(train, seed=3, epoch=1))
    np.testing.assert_array_equal(first, all_rows(stream(train, seed=3, epoch=1)))
    for other in (stream(train, seed=4, epoch=1), stream(train, seed=3, epoch=2), stream(train)):
        rows = all_rows(other)
        assert (rows != first).any(axis=1).mean() > 0.9
        np.testing.assert_array_equal(in_order(rows), in_order(first))


@pytest.mark.parametrize("seed", [None, 5])
def test_resume_at_every_batch(train: Split, seed: int | None):
    whole = stream(train, seed=seed, epoch=2)
    for start in [*range(0, len(whole), 5), len(whole) - 1]:
        rest = stream(train, seed=seed, epoch=2, start=start)
        assert len(rest) == len(whole) - start
        for (ids, labels), (expected_ids, expected_labels) in zip(rest, whole[start:], strict=True):
            np.testing.assert_array_equal(ids, expected_ids)
            np.testing.assert_array_equal(labels, expected_labels)
    assert stream(train, seed=seed, epoch=2, start=len(whole)) == []


@pytest.mark.parametrize("prepared", [False, True])
def test_one_class_is_found_without_a_pass(tmp_path, prepared, monkeypatch):
    text = write(tmp_path / "train.txt", [b"0" + line[1:] for line in criteo_lines(100)])
    if prepared:
        prepare("criteo", text, tmp_path / "out")
    data = load_criteo(tmp_path / "out" if prepared else text)
    monkeypatch.setattr(type(data.train), "batches", None)
    with pytest.raises(DataError, match=r"`train` must hold .* \d+ rows, all labelled 0"):
        check_data(data)


def test_locate_by_hand():
    rows = windows.group_rows(np.array([5, 5, 5, 2]), 2)
    assert rows.tolist() == [10, 7]
    assert windows.locate(rows, 0) == windows.Position(0, 0)
    assert windows.locate(rows, 9) == windows.Position(0, 9)
    assert windows.locate(rows, 10) == windows.Position(1, 0)
    assert windows.locate(rows, 17) == windows.Position(2, 0)


@pytest.mark.parametrize("kind", ["store", "raw"])
def test_the_data_set_knows_its_transform_and_two_rows(tmp_path, kind):
    lines = criteo_lines(200)
    text = write(tmp_path / "train.txt", lines)
    if kind == "store":
        prepare("criteo", text, tmp_path / "out")
    data = load_criteo(tmp_path / "out" if kind == "store" else text)
    assert data.transform.schema == data.schema
    if kind == "store":  # which holds ids, no raw text
        assert data.examples is None
        return
    first = [line.split(b"\t") for line in lines[:2]]
    assert data.examples["I1"].tolist() == [row[1] for row in first]
    assert data.examples["C26"].tolist() == [row[39] for row in first]
    inputs = {name: tf.constant(values) for name, values in data.examples.items()}
    rows = data.transform(inputs).numpy().tolist()
    splits = (data.train, data.validation, data.test)
    known = np.concatenate([b.numpy() for split in splits for b, _ in split.batches(100)])
    assert all(row in known.tolist() for row in rows)


def test_examples_are_good_rows(tmp_path):
    good = criteo_lines(3)
    text = write(tmp_path / "train.txt", [b"no row", *good])
    data = click_log.ClickLog(text, CRITEO, ClickLogOptions(on_bad_row="skip"))
    found = data.examples(["C1", "I2"], rows=5)
    assert found["C1"].tolist() == [line.split(b"\t")[14] for line in good]
    assert found["I2"].tolist() == [line.split(b"\t")[2] for line in good]
