"""Raw columns in, probabilities out: the served graph against NumPy's transform and the live model."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.clicklogs import AVAZU, CRITEO, HashEncoding, Transform, VocabularyEncoding
from pep_tf.data.clicklogs.formats import Format, default_features
from pep_tf.data.clicklogs.parse import Parser
from pep_tf.export.model_card import read_card
from pep_tf.export.saved_model import export_saved_model
from tests.data.clicklogs.rows_for_tests import (
    REAL_AVAZU,
    REAL_CRITEO,
    avazu_lines,
    criteo_lines,
)
from tests.export.towers import SmallTower, expected, sparse_table

DIM = 4


@dataclasses.dataclass
class Exported:
    fmt: Format
    transform: Transform
    tower: SmallTower
    table: np.ndarray
    first_order: np.ndarray
    folder: Path
    loaded: object

    def expected(self, ids: np.ndarray) -> np.ndarray:
        schema = self.transform.schema
        return expected(self.tower, schema, self.table, self.first_order, ids)[0]

    def served(self, raw: dict[str, list[bytes]]) -> np.ndarray:
        inputs = {name: tf.constant(values, tf.string) for name, values in raw.items()}
        return self.loaded.signatures["serving_default"](**inputs)["probability"].numpy()

    def columns(self) -> list[str]:
        return list(self.transform.raw_columns())


def export(fmt: Format, transform: Transform, folder: Path) -> Exported:
    schema = transform.schema
    tower = SmallTower(schema.num_fields, DIM)
    table = sparse_table(schema.num_features, DIM, kept=0.3)
    first_order = sparse_table(schema.num_features, 1, kept=0.3, seed=1)
    version = export_saved_model(
        folder,
        schema=schema,
        table=table,
        first_order=first_order,
        tower=tower,
        transform=transform,
    )
    loaded = tf.saved_model.load(str(version))
    return Exported(fmt, transform, tower, table, first_order, version, loaded)


def lines_of(fmt: Format, rows: int) -> list[bytes]:
    """Rows of the real log where it is at hand, else invented ones."""
    path = REAL_CRITEO if fmt is CRITEO else REAL_AVAZU
    if path.exists():
        with path.open("rb") as file:
            return [line.rstrip(b"\r\n") for line in file][int(fmt.header) :][:rows]
    return (criteo_lines if fmt is CRITEO else avazu_lines)(rows)


def raw_of(fmt: Format, lines: list[bytes], columns: list[str]) -> dict[str, list[bytes]]:
    split = zip(*(line.split(fmt.delimiter) for line in lines), strict=True)
    return {n: list(c) for n, c in zip(fmt.columns, split, strict=True) if n in columns}


@pytest.fixture(scope="module", params=["criteo-hash", "avazu-vocabulary"])
def exported(request, tmp_path_factory):
    name, encoding = request.param.split("-")
    fmt = {"criteo": CRITEO, "avazu": AVAZU}[name]
    features = default_features(fmt)
    if encoding == "hash":
        kept = HashEncoding((97,) * len(features), seed=3)
    else:
        keys = Parser(fmt, features).parse_block(b"\n".join(lines_of(fmt, 500)), 1).keys
        kept = VocabularyEncoding([np.unique(column) for column in keys.T], 1, "all")
    return export(fmt, Transform(fmt.name, features, kept), tmp_path_factory.mktemp(request.param))


def test_every_row_of_the_log_is_served_as_the_live_model_answers(exported):
    lines = lines_of(exported.fmt, 5000)
    block = Parser(exported.fmt, exported.transform.features).parse_block(b"\n".join(lines), 1)
    assert not block.bad
    raw = raw_of(exported.fmt, lines, exported.columns())
    served = exported.served(raw)
    exact = exported.expected(exported.transform.ids(block.keys))
    np.testing.assert_allclose(served, exact, rtol=0, atol=1e-6)
    assert np.unique(served).size > 100


def test_an_empty_batch_gives_an_empty_answer(exported):
    assert exported.served({name: [] for name in exported.columns()}).shape == (0,)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_odd_values_change_no_other_row(exported, data):
    columns = exported.columns()
    plain = raw_of(exported.fmt, lines_of(exported.fmt, 3), columns)
    value = st.sampled_from([b"", b"5.0", b"-1.", b"14102923.0", b"\xff", b" ", b"9" * 15])
    places = st.sets(st.sampled_from([c for c in columns if c != "hour"]))
    odd = {name: [data.draw(value)] for name in data.draw(places)}
    odd = {n: v for n, v in odd.items() if n[0] != "I" or v[0] not in (b"\xff", b" ")}
    row = {name: odd.get(name, plain[name][:1]) for name in columns}
    alone = exported.served(row)
    together = exported.served({name: plain[name] + row[name] for name in columns})
    assert 0 <= alone[0] <= 1
    np.testing.assert_allclose(together[3], alone[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(together[:3], exported.served(plain), rtol=0, atol=1e-6)


def test_the_card_names_the_columns(exported):
    card = read_card(exported.folder)
    assert set(card["raw_columns"]) == set(exported.columns())
    assert set(card["raw_columns"].values()) == {"string"}


def test_requests_that_do_not_fit_are_refused(exported):
    columns = exported.columns()
    good = {name: [b"14102900", b"14102901"] for name in columns}
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"as many rows.*\[{columns[1]}\]"):
        exported.served({**good, columns[1]: [b"14102900"]})
    with pytest.raises(TypeError, match="missing required"):
        exported.served({name: good[name] for name in columns[1:]})
    with pytest.raises(TypeError, match="extra"):
        exported.served({**good, "extra": [b"1", b"1"]})
    wrong = {name: tf.constant(values) for name, values in good.items()}
    wrong[columns[0]] = tf.constant([1, 2])
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError)):
        exported.loaded.signatures["serving_default"](**wrong)
    assert exported.served(good).shape == (2,)


@pytest.mark.parametrize("unknown_adds", [True, False])
def test_a_vocabulary_shrinks_only_where_no_answer_changes(tmp_path, unknown_adds):
    features = default_features(AVAZU)
    keys = Parser(AVAZU, features).parse_block(b"\n".join(lines_of(AVAZU, 400)), 1).keys
    encoding = VocabularyEncoding([np.unique(column)[::2] for column in keys.T], 1, "all")
    transform = Transform("avazu", features, encoding)
    schema = transform.schema
    table = sparse_table(schema.num_features, DIM, kept=0.3)
    table[schema.offsets] = np.float32(0.7) if unknown_adds else 0  # id 0 is the unknown one
    tower = SmallTower(schema.num_fields, DIM)
    arguments = {"schema": schema, "table": table, "tower": tower, "transform": transform}
    card = read_card(export_saved_model(tmp_path, **arguments))
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    raw = raw_of(AVAZU, lines_of(AVAZU, 400), list(transform.raw_columns()))
    inputs = {name: tf.constant(values) for name, values in raw.items()}
    served = loaded.signatures["serving_default"](**inputs)["probability"]
    exact = expected(tower, schema, table, None, transform(inputs).numpy())[0]
    np.testing.assert_allclose(served, exact, rtol=0, atol=1e-6)
    words = schema.num_features - schema.num_fields  # each a key of 8 bytes and an id of 4
    if not unknown_adds:  # a table keeps a key to compare with
        own = np.split(table.any(1), schema.offsets[1:])
        words = sum(max(np.count_nonzero(rows[1:]), 1) for rows in own)
    assert card["vocabulary_bytes"] == 12 * words
