import json

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.export.inspect import inspect, main
from pep_tf.export.litert import export_litert
from pep_tf.export.model_card import MODEL_CARD
from pep_tf.export.saved_model import export_saved_model
from pep_tf.tables.packed.entries import WHOLE
from tests.export.towers import DIM, FIRST_ORDER, SCHEMA, TABLE, SmallTower

TOWER_NUMBERS = 3 * DIM * 16 + 16 + 4 * 16 + 16 + 1 + 1


@pytest.fixture(scope="module", params=["float32", "float16"])
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    arguments = {"schema": SCHEMA, "table": TABLE, "first_order": FIRST_ORDER}
    for _ in range(2):
        version = export_saved_model(folder, tower=SmallTower(), dtype=request.param, **arguments)
    return request.param, folder, version


def test_bytes_by_part_add_up_to_what_is_on_the_disk(exported):
    dtype, folder, version = exported
    report = inspect(folder)
    assert report["version"] == str(version) == str(folder / "2")
    parts = dict(report["bytes"])
    total = parts.pop("total")
    assert total == sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
    assert total == sum(parts.values())
    assert min(parts.values()) >= 0
    width = {"float32": 4, "float16": 2}[dtype]
    counts = np.count_nonzero(TABLE, axis=1)
    whole = counts >= WHOLE * DIM
    rows_stored_whole = DIM * (1 + whole.sum()) if whole.any() else 0
    assert parts["values"] == width * (1 + counts[~whole].sum() + rows_stored_whole)
    matrices = 3 * DIM * 16 + 16
    assert parts["tower"] == width * matrices + 4 * (TOWER_NUMBERS - matrices)
    assert report["dense_bytes"] == 4 * (77 * DIM + 77 + TOWER_NUMBERS)
    assert report["missing"] == report["changed"] == []
    file = report["variables"]
    tables = ("values", "indices", "first_order")
    assert file["tables"] == sum(parts[name] for name in tables)
    assert file["total"] == sum(file[n] for n in ("tables", "tower", "vocabulary", "bookkeeping"))
    names = tf.train.load_checkpoint(version / "variables" / "variables").get_tensor(
        "_CHECKPOINTABLE_OBJECT_GRAPH"
    )
    assert file["bookkeeping"] == len(names) + 2 + 4  # with its length, and a checksum of that


def test_an_index_that_serves_both_tables_is_counted_once(tmp_path, capsys):
    weights = FIRST_ORDER * TABLE.any(axis=1, keepdims=True)
    tables = {"table": TABLE, "first_order": weights}
    version = export_saved_model(tmp_path, schema=SCHEMA, tower=SmallTower(), **tables)
    parts = inspect(version)["bytes"]
    reader = tf.train.load_checkpoint(version / "variables" / "variables")
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    stored = sum(
        int(np.prod(shape)) * dtypes[name].size
        for name, shape in shapes.items()
        if dtypes[name] != tf.string
    )
    parts_stored = ["values", "indices", "first_order", "tower"]
    assert sum(parts[name] for name in parts_stored) == stored
    nnz = np.count_nonzero(weights)
    assert 4 * (nnz + 1) < parts["first_order"] < 4 * (nnz + 1) + 77
    main([str(version)])
    assert "found by the table's indices" in capsys.readouterr().out


def test_litert(tmp_path):
    export_litert(tmp_path, schema=SCHEMA, table=TABLE, tower=SmallTower())
    report = inspect(tmp_path)
    assert report["format"] == "litert"
    assert report["bytes"]["first_order"] == 0
    assert report["bytes"]["graph"] > 0


def test_the_command_prints_the_table_and_warns_of_changed_files(tmp_path, capsys):
    version = export_saved_model(tmp_path, schema=SCHEMA, table=TABLE, tower=SmallTower())
    assert main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"77 x {DIM}, {np.count_nonzero(TABLE)} kept" in out
    assert "WARNING" not in out
    (version / "fingerprint.pb").unlink()
    (version / "assets.extra" / "notes.txt").write_text("x")
    with (version / "saved_model.pb").open("ab") as file:
        file.write(b"x")
    assert main([str(version)]) == 1
    out, err = capsys.readouterr()
    assert "missing since the export: fingerprint.pb" in out
    assert "changed since the export: saved_model.pb" in out
    assert "added since the export: assets.extra/notes.txt" in out
    assert err == (
        f"error: {version} is not what was exported: see fingerprint.pb, saved_model.pb, "
        "assets.extra/notes.txt. Export the model again.\n"
    )


@pytest.mark.parametrize("export", [export_saved_model, export_litert])
def test_bytes_that_were_overwritten(tmp_path, capsys, export):
    """The size stays as it was."""
    version = export(tmp_path, schema=SCHEMA, table=TABLE, tower=SmallTower())
    assert inspect(version)["changed"] == inspect(version)["added"] == []
    largest = max(version.rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    with largest.open("r+b") as file:
        file.seek(-64, 2)
        file.write(bytes(range(64)))
    assert inspect(version)["changed"] == [str(largest.relative_to(version))]
    assert main([str(version)]) == 1
    assert "is not what was exported" in capsys.readouterr().err


def test_a_card_that_names_other_folders(tmp_path):
    version = export_saved_model(tmp_path, schema=SCHEMA, table=TABLE, tower=SmallTower())
    card = json.loads((version / MODEL_CARD).read_text())
    card["files"]["../../outside"] = {"bytes": 1, "sha256": "0"}
    (version / MODEL_CARD).write_text(json.dumps(card))
    (tmp_path.parent / "outside").touch()
    assert inspect(version)["missing"] == ["../../outside"]  # and nothing there is read


@pytest.mark.parametrize("card", [None, "{", "[]", json.dumps({"table": 3})])
def test_what_is_no_export_is_a_clear_error(tmp_path, capsys, card):
    if card is not None:
        path = tmp_path / "1" / MODEL_CARD
        path.parent.mkdir(parents=True)
        path.write_text(card)
    assert main([str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert str(tmp_path) in captured.err
    assert not captured.out
