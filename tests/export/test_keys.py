"""Tickets for other systems: what is read back with NumPy alone is the model's table and logit."""

import json
import pathlib

import keras
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import tensorflow as tf

from pep_tf.data import CTRData, from_dataframe
from pep_tf.data.clicklogs import AVAZU, CRITEO, HashEncoding, Transform, VocabularyEncoding
from pep_tf.data.clicklogs.formats import default_features
from pep_tf.data.clicklogs.parse import Parser
from pep_tf.data.movielens.transform import MovieLensTransform
from pep_tf.data.synthetic.shape import get_shape
from pep_tf.data.synthetic.transform import SyntheticTransform
from pep_tf.errors import RunError
from pep_tf.models import build_model
from pep_tf.training import Ticket
from pep_tf.training.cut_tickets import cut_tickets
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.data.clicklogs.rows_for_tests import avazu_lines, criteo_lines

DIM = 3


class Field:
    """A field as another system reads it: NumPy, safetensors and JSON, nothing of this package."""

    def __init__(self, folder: pathlib.Path, about: dict, width: int) -> None:
        arrays = safetensors.numpy.load_file(folder / about["file"])
        self.about, self.arrays, self.encoding = about, arrays, about["encoding"]
        kept, dropped = self.named("keys", ""), self.named("dropped", "dropped_")
        self.row_of = {key: row for row, key in enumerate(kept)}
        self.dropped = set(dropped)
        self.ids = arrays.get("ids", arrays["keys"])
        self.dense = np.zeros((len(kept), width), np.float32)
        owners = np.repeat(np.arange(len(kept)), np.diff(arrays["indptr"]))
        self.dense[owners, arrays["columns"]] = arrays["values"]

    def named(self, name: str, prefix: str) -> list:
        keys = self.arrays[name]
        if keys.dtype != np.uint8:
            return keys.tolist()
        ends = self.arrays[f"{prefix}key_offsets"]
        return [keys[a:b].tobytes().decode() for a, b in zip(ends, ends[1:], strict=False)]

    def vector(self, key) -> np.ndarray:
        """Of a text, or of an id; zeros of what is dropped."""
        assert (key in self.row_of) != (key in self.dropped), key
        return self.dense[self.row_of[key]] if key in self.row_of else 0 * self.dense[0]

    def by_id(self) -> np.ndarray:
        table = np.zeros((self.about["size"], self.dense.shape[1]), np.float32)
        table[self.ids] = self.dense
        return table


def read(folder: pathlib.Path) -> dict[str, Field]:
    schema = json.loads((folder / "schema.json").read_text())
    width = schema["embedding_dim"] + (schema["first_order_column"] is not None)
    return {about["name"]: Field(folder, about, width) for about in schema["fields"]}


def ticket_on(data: CTRData, budget: int, **options) -> Ticket:
    """A ticket as it is cut, as if it had been retrained on the data."""
    model = build_model("fm", data.schema.size_by_name, embedding_dim=DIM, **options)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    (ticket,) = cut_tickets(model, snapshot(model), [budget], 40, True, {"dataset": data.name})
    ticket.retrained, ticket.data = ticket.model("trained"), data
    return ticket


def whole_table(model: keras.Model) -> np.ndarray:
    parts = [np.concatenate([*t.row_blocks()]) for t in (model.embedding, model.first_order)]
    return np.concatenate(parts, axis=1)


@pytest.fixture(scope="module")
def own() -> CTRData:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "user": [f"u-ä{k}" for k in rng.integers(0, 9, 200)],
            "shop": rng.integers(0, 50, 200),
            "visits": rng.integers(0, 900, 200),
            "price": rng.normal(size=200),
            "hour": rng.integers(0, 10**9, 200),
            "tags": ["|".join(rng.choice(list("abcd"), 2)) for _ in range(200)],
            "clicked": rng.integers(0, 2, 200),
        }
    )
    kinds = {"user": "vocabulary", "shop": "hash:20", "visits": "integer", "hour": "hour"}
    return from_dataframe(frame, "clicked", kinds | {"price": "bins:4", "tags": "multi:|"})


def test_a_table_of_ones_own(own, tmp_path):
    ticket = ticket_on(own, 60, prune_linear=True)
    assert ticket.export_keys(tmp_path / "keys", metadata={"note": "x"}) == tmp_path / "keys"
    fields = read(tmp_path / "keys")
    table = whole_table(ticket.retrained)
    np.testing.assert_array_equal(np.concatenate([f.by_id() for f in fields.values()]), table)
    schema = json.loads((tmp_path / "keys" / "schema.json").read_text())
    assert (schema["metadata"]["nnz"], schema["metadata"]["note"]) == (60, "x")
    assert sum(field["nnz"] for field in schema["fields"]) == 60
    assert {name: f.encoding["name"] for name, f in fields.items()} == {
        **dict.fromkeys(("user", "visits", "hour", "tags"), "vocabulary"),
        "shop": "hash",
        "price": "bins",
    }
    assert (fields["tags"].about["combiner"], fields["tags"].encoding["separator"]) == ("mean", "|")
    assert fields["shop"].encoding["buckets"] == 20
    # The logit of rows from their raw values: what is linear in the rows, then what FM makes of pairs.
    examples = {name: list(values) for name, values in own.examples.items()}
    ids = own.transform({name: tf.constant(values) for name, values in examples.items()})
    for row in range(2):
        value = {name: values[row] for name, values in examples.items()}
        value = {n: v.decode() if isinstance(v, bytes) else v for n, v in value.items()}
        edges = np.array(fields["price"].encoding["edges"])
        vectors = [
            fields["user"].vector(value["user"]),
            fields["shop"].vector(bucket(value["shop"], fields["shop"].encoding)),
            fields["visits"].vector(str(log(int(value["visits"])))),
            fields["hour"].vector(str(int(value["hour"]) // 3600 % 24)),
            fields["price"].vector(1 + int((edges < float(value["price"])).sum())),
            np.mean([fields["tags"].vector(v) for v in value["tags"].split("|")], axis=0),
        ]
        vectors = np.stack(vectors)
        pairs = (vectors[:, :DIM].sum(0) ** 2 - (vectors[:, :DIM] ** 2).sum(0)).sum() / 2
        logit = ticket.retrained(ids[row : row + 1]).numpy().item()
        bias = ticket.retrained.bias.numpy().item()
        assert abs(vectors[:, DIM].sum() + pairs + bias - logit) < 1e-6
    with pytest.raises(RunError, match="must be new or empty"):
        ticket.export_keys(tmp_path / "keys")


def log(number: int) -> int:
    return int(np.log(number) ** 2) if number > 2 else number - 2


def fmix64(x: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ (x >> 33)) * factor % 2**64
    return x ^ (x >> 33)


def code(text: bytes) -> int:
    words = [int.from_bytes(text[i : i + 8], "little") for i in range(0, len(text), 8)]
    found = words[0]
    for word in words[1:]:
        found = fmix64(found) ^ word
    return found


def bucket(text: str, encoding: dict) -> int:
    mixed = fmix64(code(text.encode()) ^ encoding["salt"]) >> 32
    return 1 + (mixed * (encoding["buckets"] - 1) >> 32)


@pytest.mark.parametrize("name", ["criteo-hash", "criteo-vocabulary", "avazu-vocabulary"])
def test_click_logs(name, tmp_path):
    log_name, encoding = name.split("-")
    fmt = {"criteo": CRITEO, "avazu": AVAZU}[log_name]
    lines = {"criteo": criteo_lines, "avazu": avazu_lines}[log_name](60)
    features = default_features(fmt, "parts" if fmt is AVAZU else "raw")
    keys = Parser(fmt, features).parse_block(b"\n".join(lines), 1).keys
    kept = VocabularyEncoding([np.unique(column) for column in keys.T], 1, "all")
    if encoding == "hash":
        kept = HashEncoding((7,) * len(features), seed=3)
    transform = Transform(fmt.name, features, kept)
    splits = [tiny.ArraySplit(transform.ids(keys), np.arange(60) % 2, np.arange(60))] * 3
    data = CTRData(fmt.name, transform.schema, *splits, transform=transform)
    ticket = ticket_on(data, 90)
    fields = read(ticket.export_keys(tmp_path / "keys"))
    table = whole_table(ticket.retrained)
    np.testing.assert_array_equal(np.concatenate([f.by_id() for f in fields.values()]), table)
    column = "C3" if fmt is CRITEO else "site_id"
    field, place = fields[column], fmt.columns.index(column)
    at = [f.name for f in features].index(column)
    rows = table[data.schema.offsets[at] + transform.ids(keys)[:, at]]
    for line, row in zip(lines, rows, strict=True):
        text = line.split(fmt.delimiter)[place].decode()
        if encoding == "hash":
            key = bucket(text, field.encoding) if text else field.encoding["missing"]
        elif text:
            key = text
        else:
            continue
        np.testing.assert_array_equal(field.vector(key), row)
    if encoding == "vocabulary":
        codes = dict(zip(field.ids.tolist(), field.arrays["codes"].tolist(), strict=True))
        assert {code(text.encode()) for text in field.row_of if text} <= set(codes.values())


def test_ids_alone_and_no_file_before_it_is_retrained(tmp_path):
    ticket = ticket_on(tiny.DATA, 21)
    fields = read(ticket.export_keys(tmp_path / "keys"))
    assert [f.encoding for f in fields.values()] == [{"name": "ids"}] * 3
    table = np.concatenate([f.by_id() for f in fields.values()])
    np.testing.assert_array_equal(table, whole_table(ticket.retrained))
    ticket.retrained = None
    with pytest.raises(RunError, match="must be retrained"):
        ticket.export_keys(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_an_embedding_bag_of_pytorch(own, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is no requirement")
    ticket = ticket_on(own, 60, prune_linear=True)
    field = read(ticket.export_keys(tmp_path / "keys"))["tags"]
    bag = torch.nn.EmbeddingBag.from_pretrained(torch.tensor(field.by_id()), mode="mean")
    ids = list(range(1, field.about["size"]))
    found = bag(torch.tensor([ids])).numpy()
    np.testing.assert_allclose(found[0], field.by_id()[1:].mean(axis=0), atol=1e-6)


def test_the_texts_of_data_sets_that_come_along():
    movielens = MovieLensTransform(
        {"time_bucket": np.array([-2, 21]), "zip": np.array(["055", "9"], object)}, 978_000_000
    )
    time, zips = movielens.field_keys()
    assert (time.texts, len(time.encoding["starts"])) == (None, 2)
    assert (zips.encoding, zips.texts) == ({"column": "zip", "name": "vocabulary"}, [b"055", b"9"])
    synthetic = SyntheticTransform("criteo", get_shape("criteo").schema(400))
    texts = {keys.encoding["column"]: keys.texts for keys in synthetic.field_keys()}
    size = min(map(len, texts.values()))
    raw = {name: tf.constant(own[:size]) for name, own in texts.items()}
    np.testing.assert_array_equal(synthetic(raw), np.arange(size)[:, None] * np.ones((1, 39), int))
