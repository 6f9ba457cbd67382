import pathlib

import numpy as np
import pytest

from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.data.clicklogs.array_store import read_store, write_store
from pep_tf.errors import DataError


def test_round_trip_and_damage(tmp_path):
    rng = np.random.default_rng(0)
    splits = []
    for first, count in ((0, 9000), (9000, 5), (9005, 7)):
        ids = rng.integers(0, 4, (count, 2))
        splits.append(ArraySplit(ids, rng.integers(0, 2, count), np.arange(first, first + count)))
    data = CTRData("made-up", FeatureSchema.of({"a": 4, "b": 5}), *splits, details={"source": "x"})
    folder = pathlib.Path(write_store(data, tmp_path)["folder"])
    back = read_store(folder)
    assert (back.name, back.schema, back.details["source"]) == ("made-up", data.schema, "x")
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(data, name), getattr(back, name)
        assert (ours.num_rows, ours.md5) == (theirs.num_rows, theirs.md5)
        for (x, y), (u, v) in zip(ours.batches(512), theirs.batches(512), strict=True):
            np.testing.assert_array_equal(x, u)
            np.testing.assert_array_equal(y, v)
    shard = next(folder.glob("*test.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[::-1])
    with pytest.raises(DataError, match=f"{shard.name}: damaged"):
        read_store(folder)
