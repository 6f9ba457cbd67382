"""A manifest is checked before anything relies on it: what it lacks, names or contradicts."""

import contextlib
import json
import pathlib
import shutil

import numpy as np
import pytest

from pep_tf.data import ArraySplit, CTRData, FeatureSchema
from pep_tf.data.clicklogs import load_criteo
from pep_tf.data.clicklogs.prepare import prepare
from pep_tf.data.store.arrays import read_store, write_store
from pep_tf.data.synthetic.store import synthetic_store
from pep_tf.errors import DataError
from tests.data.clicklogs.rows_for_tests import criteo_lines, write


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of a click log and one of arrays, each as (folder, how to read it)."""
    folder = tmp_path_factory.mktemp("stores")
    prepared = prepare("criteo", write(folder / "train.txt", criteo_lines(200)), folder / "log")
    splits = [ArraySplit(np.zeros((9, 1), int), np.arange(9) % 2, np.arange(9)) for _ in range(3)]
    data = CTRData("made-up", FeatureSchema.of({"a": 4}), *splits)
    written = write_store(data, folder / "arrays")
    return {
        "log": (pathlib.Path(prepared["folder"]), load_criteo),
        "arrays": (pathlib.Path(written["folder"]), read_store),
    }


@pytest.fixture(params=["log", "arrays"])
def store(request, stores, tmp_path):
    folder, read = stores[request.param]
    return shutil.copytree(folder, tmp_path / "store"), read


def rewrite(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@contextlib.contextmanager
def one_line_naming(folder):
    try:
        yield
    except DataError as error:
        told = str(error)
        if "\n" in told or str(folder) not in told:
            raise AssertionError(told) from error
        raise


def places(value, path=()):
    """The path to each object and value of a JSON document but its root."""
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(manifest, path):
    for key in path:
        manifest = manifest[key]
    return manifest


@pytest.mark.parametrize("put", ["nothing", None, 3, "text", [], {}], ids=repr)
def test_whatever_is_missing_or_of_another_kind_is_one_line(store, put):
    """It is read all the same where nothing depends on it."""
    folder, read = store
    path = folder / "manifest.json"
    whole = path.read_text()
    refused = set()
    for place in places(json.loads(whole)):

        def change(manifest, place=place):
            *above, name = place
            if put == "nothing":
                del at(manifest, above)[name]
            else:
                at(manifest, above)[name] = put

        path.write_text(whole)
        rewrite(folder, change)
        with contextlib.suppress(DataError), one_line_naming(folder):
            read(folder)
            continue
        refused.add(place[0])
    assert refused >= {"dataset", "version", "schema", "splits", "files", "manifest_version"} - (
        {"dataset"} if read is read_store else set()
    )
    path.write_text(whole)
    read(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"text"', "null", "[" * 100_000, "\udcff"])
def test_no_manifest_at_all(store, text):
    folder, read = store
    (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"manifest\.json is damaged or of another version"):
        read(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/b", "..", "."])
def test_a_name_that_leads_out_of_the_store(store, name):
    folder, read = store
    (folder.parent / "outside").write_text("secret")
    rewrite(folder, lambda m: m["files"].update({name: {"bytes": 6, "md5": "x"}}))
    with pytest.raises(DataError, match="is no file of the store"):
        read(folder)


@pytest.mark.parametrize(
    "facts", [{"rows": 4}, {"clicks": -1}, {"clicks": 10_000}, {"block_rows": [[1], [2]]}]
)
def test_counts_that_contradict_each_other(store, facts):
    folder, read = store
    rewrite(folder, lambda m: m["splits"]["test"].update(facts))
    with pytest.raises(DataError, match="damaged, .* of 'test'"):
        read(folder)


def test_what_synthetic_rows_are_compared_with(stores, tmp_path):
    folder = shutil.copytree(stores["log"][0], tmp_path / "store")
    rewrite(folder, lambda m: m["splits"]["test"].pop("clicks"))
    with pytest.raises(DataError, match="damaged or of another version .*'clicks'"):
        synthetic_store("criteo", folder)


def test_preparing_again_over_a_damaged_manifest(tmp_path):
    text = write(tmp_path / "train.txt", criteo_lines(200))
    folder = pathlib.Path(prepare("criteo", text, tmp_path / "out")["folder"])
    for name in ("identity", "splits"):
        saved = (folder / "manifest.json").read_text()
        rewrite(folder, lambda m, name=name: m.pop(name))
        with pytest.raises(DataError, match=f"damaged or of another version .*{name}"):
            prepare("criteo", text, tmp_path / "out")
        (folder / "manifest.json").write_text(saved)
