"""A table prepared into a store: the data set that it is in memory, in bounded memory."""

import numpy as np
import pandas as pd
import pytest

from pep_tf.data import from_files, load
from pep_tf.data.columns import stored_table, table, table_files
from pep_tf.data.store.manifest import read_manifest
from pep_tf.data.store.place import find_store
from pep_tf.errors import DataError
from tests.data.columns.clicks import FEATURES, clicks


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(table_files, "_BATCH_BYTES", 1500)
    monkeypatch.setattr(table_files, "_BATCH_ROWS", 23)


def files_of(folder, form):
    frame = clicks().assign(weight=np.tile([0.5, 1.0, 2.0, 3.0], 50))
    frame["part"] = np.repeat(["train", "validation", "test", "train"], 50)
    for name, rows in (("a", frame.iloc[:90]), ("b", frame.iloc[90:])):
        if form == "parquet":
            rows.to_parquet(folder / f"{name}.parquet")
        else:
            rows.to_csv(folder / f"{name}.{form}", index=False, sep="\t" if "tsv" in form else ",")
    return folder / f"?.{form}"


def rows_of(split):
    """Rows by what they hold, whatever their order."""
    batches = [tuple(np.asarray(part) for part in batch) for batch in split.batches(64)]
    parts = [np.concatenate(part) for part in zip(*batches, strict=True)]
    return sorted(zip(*(part.tolist() for part in parts), strict=True))


MADE = {
    "csv": {"split": "random", "seed": 3},
    "tsv.gz": {"split": "hash:price", "weight": "weight", "drop": {"item": "tea"}},
    "parquet": {"split": "time:time", "weight": "weight"},
}


@pytest.mark.parametrize("form", MADE)
def test_a_store_holds_what_the_table_holds_in_memory(form, tmp_path):
    files, options = files_of(tmp_path, form), {"label": "clicked", "features": FEATURES}
    options |= MADE[form]
    memory = from_files(files, **options)
    stored = from_files(files, **options, store=tmp_path / "store")
    assert stored.schema == memory.schema
    assert stored.transform.fingerprint == memory.transform.fingerprint
    assert memory.identity.difference(stored.identity, ("content", "mapping", "split")) is None
    manifest = read_manifest(find_store(tmp_path / "store"))
    assert manifest["content_md5"] == memory.identity.digests()["content"]
    for name in memory.splits:
        assert rows_of(stored.splits[name]) == rows_of(memory.splits[name])
        assert stored.splits[name].classes == (0, 1)
    for column, texts in memory.examples.items():
        assert texts.tolist() == stored.examples[column].tolist()
    same = {key: memory.details[key] for key in memory.details if key != "source"}
    assert same.items() <= stored.details.items()


def test_a_store_is_found_again_by_its_declaration_and_by_its_folder(tmp_path, monkeypatch):
    files = files_of(tmp_path, "csv")
    options = {"label": "clicked", "features": FEATURES, "split": "column:part"}
    made = from_files(files, **options, store=tmp_path / "store")
    monkeypatch.setattr(stored_table.StoredTable, "shards", None)  # it is not made again
    again = from_files(files, **options, store=tmp_path / "store")
    loaded = load(str(tmp_path / "store"), verify=True)
    for data in (again, loaded):
        assert made.identity.difference(data.identity) is None
        assert data.test.md5 == made.test.md5
    (tmp_path / "mine.py").write_text(
        f"DATA = dict(files='?.csv', store='store', label='clicked', features={FEATURES!r}, "
        "split='column:part')"
    )
    assert load(str(tmp_path / "mine.py"), seed=0).name == "mine"
    with pytest.raises(DataError, match="stands in the store itself"):
        load(str(tmp_path / "store"), features="user=vocabulary")
    with pytest.raises(DataError, match="label clicked, here price > 0"):
        from_files(files, "price > 0", FEATURES, split="column:part", store=tmp_path / "store")
    frame = pd.read_csv(tmp_path / "b.csv")
    frame["clicked"] = 1 - frame["clicked"]
    frame.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="the content of b.csv changed"):
        from_files(files, **options, store=tmp_path / "store")


def test_a_bad_row_leaves_no_store(tmp_path):
    files = files_of(tmp_path, "csv")
    bad = pd.read_csv(tmp_path / "b.csv", dtype=str).tail(1).assign(views="x")
    bad.to_csv(tmp_path / "b.csv", index=False, header=False, mode="a")
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"`views` must be an integer.*'x' in .*b.csv, line 112"
        ):
            from_files(files, "clicked", FEATURES, store=tmp_path / "store")
    assert not list((tmp_path / "store").glob("**/manifest.json"))


def test_every_file_is_looked_at_before_a_row_is_read(tmp_path, monkeypatch):
    files = files_of(tmp_path, "csv")
    frame = pd.read_csv(tmp_path / "b.csv").drop(columns="views")
    frame.to_csv(tmp_path / "b.csv", index=False)
    monkeypatch.setattr(table_files.TableFiles, "batches", None)
    with pytest.raises(DataError, match="b.csv: must have one column 'views'. Received: none"):
        from_files(files, "clicked", FEATURES, store=tmp_path / "store")


def test_a_kind_may_learn_from_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "SAMPLE", 80)
    options = {"label": "clicked", "features": {"user": "vocabulary", "price": "bins:4"}}
    files = files_of(tmp_path, "csv")
    memory = from_files(files, **options)
    stored = from_files(files, **options, store=tmp_path / "store")
    assert stored.transform.schema == memory.transform.schema
    ids = np.concatenate([ids for ids, _ in stored.train.batches(64)])
    assert (np.bincount(ids[:, 1], minlength=6)[1:5] > 20).all()
