import csv
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pep_tf.data.synthetic import text as synthetic_text
from pep_tf.data.synthetic import write_raw_text
from pep_tf.data.synthetic.row_source import BLOCK_ROWS, RowSource
from pep_tf.data.synthetic.shape import get_shape
from pep_tf.data.synthetic.text import MAX_INTEGER_ID, ids_of, tokens
from pep_tf.errors import DataError

ROWS = BLOCK_ROWS + 100


def rows_of(source, rows):
    blocks = [source.block(b) for b in range(2)]
    ids = np.concatenate([ids for ids, _, _ in blocks], axis=1)[:, :rows]
    return ids, np.concatenate([labels for _, labels, _ in blocks])[:rows]


@pytest.mark.parametrize(("shape", "delimiter", "before"), [("criteo", "\t", 1), ("avazu", ",", 2)])
def test_the_text_says_the_rows(tmp_path, shape, delimiter, before):
    path = tmp_path / "raw"
    report = write_raw_text(path, shape, rows=ROWS, num_features=20_000, seed=2)
    assert report == {
        "name": f"synthetic-{shape}",
        "rows": ROWS,
        "bytes": path.stat().st_size,
    }
    raw = path.read_bytes()
    assert b"\r" not in raw
    assert b"\0" not in raw
    assert b'"' not in raw
    assert raw.endswith(b"\n")
    lines = list(csv.reader(raw.decode("ascii").splitlines(), delimiter=delimiter))
    if shape == "avazu":
        assert lines.pop(0) == ["id", "click", *(c.name for c in get_shape("avazu").columns)]
        assert [row[0] for row in lines] == [str(10**18 + i) for i in range(ROWS)]
    assert len(lines) == ROWS
    columns = list(zip(*lines, strict=True))
    ids, labels = rows_of(RowSource(shape, 20_000, seed=2), ROWS)
    assert len(columns) == before + len(ids)
    np.testing.assert_array_equal(np.array(columns[before - 1], float), labels)
    for f, column in enumerate(columns[before:]):
        np.testing.assert_array_equal(ids_of(shape, f, np.array(column, "S")), ids[f])
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_lines_of_each_form(tmp_path):
    write_raw_text(tmp_path / "criteo", "criteo", rows=50, num_features=1000)
    for line in (tmp_path / "criteo").read_text().splitlines():
        label, *values = line.split("\t")
        assert label in ("0", "1")
        assert len(values) == 39
        assert all(v == "" or v.isdigit() for v in values[:13])
        assert all(len(v) == 8 and int(v, 16) >= 0 for v in values[13:])
    assert "\t\t" in (tmp_path / "criteo").read_text()  # some integers are missing
    write_raw_text(tmp_path / "avazu", "avazu", rows=50, num_features=1000)
    hours = [line.split(",")[2] for line in (tmp_path / "avazu").read_text().splitlines()[1:]]
    assert all(len(h) == 8 and h.startswith("1410") and int(h[6:]) < 24 for h in hours)


def test_integer_tokens_and_criteos_transform_are_one_to_one():
    ids = np.arange(MAX_INTEGER_ID + 1)
    text = tokens("criteo", 0, ids).tolist()
    assert text[:6] == [b"", b"0", b"1", b"2", b"4", b"5"]
    for k, token in zip(ids[1:], text[1:], strict=True):
        v = int(token)
        assert v < 2**63
        assert (int(math.log(v) ** 2) if v > 2 else v - 2) == k - 3
    np.testing.assert_array_equal(ids_of("criteo", 0, np.array(text, "S")), ids)


def test_hex_and_hour_by_hand():
    # The CRC-32 of "C1" is cb530e03; one step adds 2654435761 = 9e3779b1, modulo 2^32.
    assert tokens("criteo", 13, np.array([0, 1])).tolist() == [b"cb530e03", b"698a87b4"]
    hours = tokens("avazu", 0, np.array([0, 23, 24, 240]))
    assert hours.tolist() == [b"14102100", b"14102123", b"14102200", b"14103100"]
    assert tokens("avazu", 1, np.array([0, 17])).tolist() == [b"0", b"17"]


@settings(deadline=None)
@given(
    st.sampled_from([("criteo", 13), ("criteo", 38), ("avazu", 10), ("avazu", 9)]),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20),
)
def test_hex_tokens_round_trip(column, ids):
    shape, field = column
    text = tokens(shape, field, np.array(ids))
    assert all(len(t) == 8 for t in text.tolist())
    assert ids_of(shape, field, text).tolist() == ids


def test_tokens_keep_the_shape_of_ids():
    ids = np.arange(6).reshape(2, 3)
    for shape, field in [("criteo", 0), ("criteo", 13), ("avazu", 0), ("avazu", 1)]:
        text = tokens(shape, field, ids)
        assert text.shape == (2, 3)
        np.testing.assert_array_equal(ids_of(shape, field, text), ids)
    assert tokens("criteo", 0, np.zeros(0, int)).shape == (0,)


@pytest.mark.parametrize(
    ("shape", "field", "known", "strange", "column"),
    [
        ("criteo", 0, b"0", [b"3", b"00", b"1.0"], "I1"),
        (
            "criteo",
            13,
            b"cb530e03",
            [b"CB530E03", b"0xcb530e", b"+cb530e0", b"cb_530e0", b"1"],
            "C1",
        ),
        ("avazu", 1, b"17", [b"", b"017", b"-1", b" 1", b"1_0", b"9" * 40], "C1"),
        ("avazu", 0, b"14102100", [b"14102023", b"14113100", b"1410210", b"14102124"], "hour"),
    ],
)
def test_a_text_that_no_id_has_is_named(shape, field, known, strange, column):
    for text in strange:
        with pytest.raises(DataError, match=f"Column {column} must hold tokens of ids.*b'") as e:
            ids_of(shape, field, np.array([known, text]))
        assert str(e.value).endswith(f"[{text!r}]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "`rows` must be at least 1. Received: 0"),
        ({"rows": 5, "num_features": 9}, "`num_features` must be between 78"),
        ({"rows": 5, "shape": "x"}, "`shape` must be one of"),
        ({"rows": 5, "num_features": 10**9}, "`num_features` must leave each integer column"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        write_raw_text(tmp_path / "raw", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_column_too_large_for_integers_is_refused():
    with pytest.raises(
        DataError, match="`num_features` must leave each integer column at most 1901"
    ):
        tokens("criteo", 0, np.array([MAX_INTEGER_ID + 1]))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DataError, match="raw cannot be written: .*No such file"):
        write_raw_text(tmp_path / "none" / "raw", "avazu", rows=5, num_features=1000)


def test_a_break_leaves_the_earlier_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "raw"
    write_raw_text(path, "avazu", rows=5, num_features=1000)
    before = path.read_bytes()

    def broken(source, rows):
        yield b"some text"
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic_text, "_blocks_of_text", broken)
    with pytest.raises(KeyboardInterrupt):
        write_raw_text(path, "avazu", rows=5, num_features=1000)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]
