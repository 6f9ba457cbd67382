"""What stays bit for bit from version to version: hash, keys, logarithm, splits and their md5."""

import hashlib

import numpy as np
import pytest

from pep_tf.data import from_dataframe, load
from pep_tf.data.clicklogs import ClickLogOptions
from pep_tf.data.clicklogs.prepare import prepare
from tests.data.clicklogs.rows_for_tests import avazu_lines, criteo_lines, write
from tests.data.columns.clicks import FEATURES, clicks


def digest(data) -> str:
    """md5 of the splits' own md5, their ids and labels in order, and the sizes of the fields."""
    total = hashlib.md5(repr(data.schema.sizes).encode())
    for split in data.splits.values():
        total.update(split.md5.encode())
        for ids, labels in split.batches(4096):
            total.update(np.ascontiguousarray(ids, np.int32).tobytes())
            total.update(np.ascontiguousarray(labels, np.float32).tobytes())
    return total.hexdigest()


def raw_file(dataset, folder):
    if dataset == "criteo":
        return write(folder / "train.txt", criteo_lines(600))
    header = (
        b"id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,"
        b"app_category,device_id,device_ip,device_model,device_type,device_conn_type,"
        b"C14,C15,C16,C17,C18,C19,C20,C21"
    )
    return write(folder / "train.csv", [header, *avazu_lines(600)])


RAW = {
    "criteo": "a9bd5337e0ea3ca6b2402da6eb5b6ee6",
    "avazu": "b3b31a0dbafcd8af2b401d633bf9753d",
}


@pytest.mark.parametrize("dataset", RAW)
def test_raw_text(dataset, tmp_path):
    assert digest(load(dataset, data_dir=raw_file(dataset, tmp_path))) == RAW[dataset]


STORES = {
    ("criteo", "hash", "raw"): (
        "4bd51820d36498ef9e1ed759e3b9ff4d",
        "dcd51fde0e0629473175e6b6331edbf1",
    ),
    ("criteo", "vocabulary", "raw"): (
        "6a4540a3a9b957925812c2e30b51ca7e",
        "c0e8ed7643af69e5af8ba9e1cef96962",
    ),
    ("avazu", "hash", "parts"): (
        "0d5acf85f56183f39d76eb10ab89f7cd",
        "96623177fb4bb752849de5fdf4e8ccb4",
    ),
    ("avazu", "vocabulary", "raw"): (
        "7ccaea4822edd8cad437d48049f4f4d8",
        "96f56420cb7a3a0bdad681fa6adeed2f",
    ),
}


@pytest.mark.parametrize("made", STORES, ids="-".join)
def test_stores(made, tmp_path):
    dataset, encoding, hour = made
    counted = {"min_count": 2} if encoding == "vocabulary" else {"seed": 3}
    options = ClickLogOptions(encoding=encoding, hour=hour, **counted)
    prepare(dataset, raw_file(dataset, tmp_path), tmp_path / "out", options)
    data = load(dataset, data_dir=tmp_path / "out")
    assert (digest(data), data.transform.fingerprint) == STORES[made]


def test_movielens(tmp_path):
    assert digest(load("movielens-small", seed=3)) == "4ce40f9cc2249db11413f59264d36be6"


def test_own_data():
    frame = clicks()
    kinds = ("vocabulary", "hash", "integer", "bins", "hour", "weekday", "multi")
    features = {name: k for name, k in FEATURES.items() if k.partition(":")[0] in kinds}
    expected = {
        "random": "baf3379df33df06f5f0e7bb02fdda199",
        "hash": "8d6d4fc5468339017236ac963f0ca80f",
        "time:time": "45bdb5ba0c43d81ffb9c8071ee4c672c",
    }
    for split, md5 in expected.items():
        assert digest(from_dataframe(frame, "clicked", features, split=split)) == md5
