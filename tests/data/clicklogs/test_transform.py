import json

import numpy as np
import pytest
import tensorflow as tf

from pep_tf.data.clicklogs import AVAZU, CRITEO, HashEncoding, Transform, VocabularyEncoding
from pep_tf.data.clicklogs.formats import Format, default_features
from pep_tf.data.clicklogs.parse import Parser
from pep_tf.errors import DataError
from tests.data.clicklogs.rows_for_tests import (
    REAL_AVAZU,
    REAL_CRITEO,
    criteo_lines,
    plain_integer,
)


def hashing(fmt: Format, hour: str = "raw", seed: int = 0) -> Transform:
    features = default_features(fmt, hour)
    return Transform(fmt.name, features, HashEncoding(tuple(f.buckets for f in features), seed))


def raw_columns(fmt: Format, lines: list[bytes]) -> dict[str, tf.Tensor]:
    columns = zip(*(line.split(fmt.delimiter) for line in lines), strict=True)
    return {name: tf.constant(list(c)) for name, c in zip(fmt.columns, columns, strict=True)}


def ids_of(transform: Transform, fmt: Format, lines: list[bytes]) -> np.ndarray:
    block = Parser(fmt, transform.features).parse_block(b"\n".join(lines), 1)
    assert not block.bad
    return transform.ids(block.keys)


def vocabulary(fmt: Format, lines: list[bytes], min_count: int, hour: str = "raw") -> Transform:
    features = default_features(fmt, hour)
    keys = Parser(fmt, features).parse_block(b"\n".join(lines), 1).keys
    kept = []
    for column in keys.T:
        values, counts = np.unique(column, return_counts=True)
        kept.append(values[counts >= min_count])
    return Transform(fmt.name, features, VocabularyEncoding(kept, min_count, "all"))


class Serving(tf.Module):
    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform

    @tf.function
    def ids(self, raw: dict[str, tf.Tensor]) -> tf.Tensor:
        return self.transform(raw)


@pytest.mark.parametrize(
    ("fmt", "hour", "encoding"),
    [(CRITEO, "raw", "vocabulary"), (AVAZU, "parts", "hash")],
)
def test_no_skew_on_real_rows(fmt: Format, hour: str, encoding: str, tmp_path):
    """Preparation and a reloaded SavedModel give the same ids, for every real row."""
    path = REAL_CRITEO if fmt is CRITEO else REAL_AVAZU
    if not path.exists():
        pytest.skip(f"{path.name} of the real samples is not beside the repository")
    lines = path.read_bytes().splitlines()[int(fmt.header) :]
    made = hashing(fmt, hour) if encoding == "hash" else vocabulary(fmt, lines[::2], 3, hour)
    (tmp_path / "mapping").mkdir()
    made.save(tmp_path / "mapping")
    transform = Transform.load(tmp_path / "mapping")
    serving = Serving(transform)
    spec = {c: tf.TensorSpec([None], tf.string) for c in transform.raw_columns()}
    signature = serving.ids.get_concrete_function(spec)
    tf.saved_model.save(serving, str(tmp_path / "model"), signatures=signature)
    raw = {k: v for k, v in raw_columns(fmt, lines).items() if k in spec}
    reloaded = tf.saved_model.load(str(tmp_path / "model"))
    served = reloaded.ids(raw).numpy()
    np.testing.assert_array_equal(served, ids_of(made, fmt, lines))
    assert served.dtype == np.int32
    assert (served >= 0).all()
    assert (served < np.array(made.schema.sizes)).all()


def test_missing_and_unknown_when_serving():
    lines = criteo_lines(50)
    transform = vocabulary(CRITEO, lines, 1)
    raw = raw_columns(CRITEO, lines[:1])
    names = transform.schema.names
    raw |= {"I1": tf.constant([""]), "C1": tf.constant(["never seen"])}
    ids = transform(raw).numpy()[0]
    blank = dict.fromkeys(names, tf.constant([""]))
    missing = transform(blank).numpy()[0]
    assert ids[names.index("I1")] == missing[names.index("I1")] == 1
    assert ids[names.index("C1")] == 0


def test_hash_keeps_id_zero_for_missing():
    transform = hashing(CRITEO)
    ids = ids_of(transform, CRITEO, criteo_lines(200))
    empty = np.array([[not t for t in line.split(b"\t")[1:]] for line in criteo_lines(200)])
    np.testing.assert_array_equal(ids == 0, empty)


def test_integer_tensors_are_their_decimal_text():
    transform = hashing(CRITEO)
    raw = raw_columns(CRITEO, criteo_lines(1))
    np.testing.assert_array_equal(
        transform(raw | {"I3": tf.constant([17])}), transform(raw | {"I3": tf.constant(["17"])})
    )
    with pytest.raises(DataError, match="`I3` must be text or integers. Received: float32"):
        transform(raw | {"I3": tf.constant([17.0])})


def test_what_no_file_may_hold_fails_outside_a_graph_as_well():
    raw = raw_columns(CRITEO, criteo_lines(2)) | {"I3": tf.constant(["17", "1e3"])}
    with pytest.raises(tf.errors.InvalidArgumentError, match="`I3` must be an integer.*1e3"):
        hashing(CRITEO)(raw)


def test_another_seed_parts_what_collided():
    lines = criteo_lines(100)
    a, b = (ids_of(hashing(CRITEO, seed=s), CRITEO, lines) for s in (0, 1))
    assert (a != b).any(axis=0).all()
    np.testing.assert_array_equal(a, ids_of(hashing(CRITEO, seed=0), CRITEO, lines))


def fmix64(x: int) -> int:
    mask = 2**64 - 1
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & mask
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & mask
    return x ^ x >> 33


def test_hash_is_what_its_documentation_says():
    """Stored data depends on it; a change needs a new version of the transform."""
    line = b"\t".join(
        [b"1", *[b"%d" % (i * i) for i in range(13)], *[b"%08x" % i for i in range(26)]]
    )
    transform = hashing(CRITEO, seed=7)
    ids = ids_of(transform, CRITEO, [line])[0]
    expected = []
    for field, (token, size) in enumerate(
        zip(line.split(b"\t")[1:], transform.schema.sizes, strict=True)
    ):
        number = field < 13
        key = (
            2**32 + int(plain_integer(token.decode()))
            if number
            else int.from_bytes(token, "little")
        )
        salt = fmix64((7 * 0x9E3779B97F4A7C15 + field + 1) % 2**64)
        expected.append(1 + ((fmix64(key ^ salt) >> 32) * (size - 1) >> 32))
    assert ids.tolist() == expected


def test_absent_column_is_named():
    raw = raw_columns(CRITEO, criteo_lines(1))
    del raw["C7"]
    with pytest.raises(DataError, match="C7"):
        hashing(CRITEO)(raw)


def test_damaged_mapping_is_named(tmp_path):
    transform = vocabulary(CRITEO, criteo_lines(50), 1)
    transform.save(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        Transform.load(tmp_path / "elsewhere")
    config = json.loads((tmp_path / "transform.json").read_text())
    (tmp_path / "transform.json").write_text(json.dumps(config | {"version": 99}))
    with pytest.raises(DataError, match="Received: 99"):
        Transform.load(tmp_path)
    config["features"][0]["kind"] = "category"
    (tmp_path / "transform.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="does not match its md5"):
        Transform.load(tmp_path)
    (tmp_path / "transform.npz").unlink()
    with pytest.raises(DataError, match="transform.npz"):
        Transform.load(tmp_path)


def test_hash_needs_two_buckets():
    with pytest.raises(DataError, match=r"from 2 to .*Received: \[1\]"):
        HashEncoding((5, 1))
