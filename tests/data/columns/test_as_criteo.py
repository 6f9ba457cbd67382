"""A table with the columns of Criteo gets the split, the hash and the logarithm that the click log has."""

import numpy as np
import pandas as pd

from pep_tf.data import from_files
from pep_tf.data.clicklogs import load_criteo
from pep_tf.data.clicklogs.formats import CRITEO, default_features
from pep_tf.data.columns.categories import UNSEEN
from tests.data.clicklogs.rows_for_tests import criteo_lines, write


def test_a_click_log_in_parquet_has_the_ids_of_its_reader(tmp_path):
    lines = criteo_lines(300)
    raw = load_criteo(write(tmp_path / "train.txt", lines), seed=0)
    rows = [dict(zip(CRITEO.columns, line.decode().split("\t"), strict=True)) for line in lines]
    pd.DataFrame(rows).to_parquet(tmp_path / "criteo.parquet")
    features = {
        f.name: "integer" if f.kind == "integer" else f"hash:{f.buckets}"
        for f in default_features(CRITEO)
    }
    data = from_files(tmp_path / "criteo.parquet", "label", features, split="hash", seed=0)
    for name, split in data.splits.items():
        assert split.md5 == raw.splits[name].md5
        [(ids, labels)] = raw.splits[name].batches(300)
        np.testing.assert_array_equal(labels, split.labels)
        np.testing.assert_array_equal(ids[:, 13:], split.ids[:, 13:])
        for field in range(13):  # hashed there, where two results may share a bucket
            pairs = set(zip(ids.numpy()[:, field], split.ids[:, field], strict=True))
            own = [here for _, here in pairs if here != UNSEEN]
            assert len(set(own)) == len(own)
