"""Budgets in bytes: read, turned into entries, and kept by what is exported."""

import re

import keras
import numpy as np
import pytest

import pep_tf
from pep_tf.errors import NumberError
from pep_tf.export.inspect import inspect
from pep_tf.numbers import read_size
from pep_tf.training import Silent, Ticket
from pep_tf.training.budgets import ByteBudget, check_budgets, resolve_table_budgets
from pep_tf.training.state import load_state
from pep_tf.training.stored_size import StoredSize
from tests import tiny

DIM = 8
SHAPES = {"embedding": (340, DIM), "first_order": (340, 1)}
FIELDS = dict.fromkeys(SHAPES, [40, 300])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("30KB", 30_000),
        ("30 kb", 30_000),
        ("1.5 KiB", 1536),
        ("2MB", 2_000_000),
        ("1GiB", 2**30),
        ("5_000B", 5000),
        ("5,000 bytes", 5000),
        ("0.5KB", 500),
        ("3%bytes", "share"),
        ("3 % bytes", "share"),
    ],
)
def test_sizes_are_read(text, size):
    found = read_size(text)
    assert found.form == ("percent" if size == "share" else "count")
    assert found.value * (1 if size != "share" else 100) == (3 if size == "share" else size)


@pytest.mark.parametrize("text", ["3%", "30", "KB", "30 K", "3%KB", "nanB", "bytes", 30, None])
def test_what_names_no_bytes(text):
    assert read_size(text) is None


@pytest.mark.parametrize(("dtype", "share"), [("float32", 40), ("float16", 25), ("int4", 11)])
def test_a_budget_is_the_largest_cut_that_fits(dtype, share):
    storage = StoredSize(SHAPES, ["embedding"], dtype, FIELDS, paired=True)
    order = np.random.default_rng(1).permutation(340 * DIM).reshape(340, DIM)

    def cut(count):
        return {"embedding": np.packbits(order < count, axis=1)}

    assert storage.base == 340 * 9 * 4
    budget = storage.budget(read_size(f"{share}%bytes"), "")
    assert budget.bytes == share * storage.base // 100
    kept = int(np.bitwise_count(storage.cut_within(cut, budget)["embedding"]).sum())
    assert storage.bytes_of(cut(kept)) <= budget.bytes < storage.bytes_of(cut(kept + 1))
    assert budget.entries / 3 < kept <= budget.entries


def test_bytes_that_cannot_be_had_are_refused_with_those_that_can():
    storage = StoredSize(SHAPES, ["embedding"], "float32", FIELDS, paired=True)
    smallest = storage.smallest
    told = (
        f"at least {smallest:,} bytes, .*340 numbers of 'first_order'.* Received: 1KB, 1,000 bytes"
    )
    with pytest.raises(NumberError, match=told):
        storage.budget(read_size("1KB"), "1KB")
    assert storage.budget(read_size(f"{smallest}B"), "").bytes == smallest
    with pytest.raises(NumberError, match="at most 12,240 bytes, the tables in float32"):
        storage.budget(read_size("20KB"), "20KB")
    with pytest.raises(NumberError, match="not by table"):
        resolve_table_budgets([{"a": "30KB"}], {"a": 10**6}, storage)
    with pytest.raises(NumberError, match="above 0 and at most 100 %"):
        check_budgets(["120%bytes"])
    check_budgets(["3%bytes", "30KB", "20%"])


def test_the_export_of_a_ticket_takes_what_was_counted(tmp_path):
    dtype = {"embedding": "int4", "first_order": "int8"}
    model = tiny.model("fm", seed=3)
    options = {"budgets": ["60%bytes", 12], "method": "magnitude", "dtype": dtype}
    tickets = pep_tf.prune(model, tiny.DATA, settings=tiny.settings(epochs=1), **options)
    ticket = next(t for t in tickets if "byte_budget" in t.facts)
    allowed = int(0.6 * 16 * 5 * 4)
    ticket.save(tmp_path / "ticket.safetensors")
    loaded = Ticket.load(tmp_path / "ticket.safetensors")
    loaded.retrain(tiny.DATA, settings=tiny.settings(epochs=1))
    sizes = inspect(loaded.export(tmp_path / "model"))["bytes"]
    stored = sizes["values"] + sizes["indices"] + sizes["first_order"]
    assert stored == ticket.facts["stored_bytes"] <= allowed


def test_a_model_of_ones_own_and_a_folder_that_goes_on(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,), dtype="int32"), keras.layers.Embedding(4000, 8)])
    model = pep_tf.prunable(model)
    model.compile(pep_tf.RowwiseAdam(1e-3), "mse")
    cut = pep_tf.PruneCallback(["40KB", "20%bytes"], folder=tmp_path, reporter=Silent())
    ids = np.random.default_rng(0).integers(0, 4000, (64, 2))
    model.fit(ids, np.zeros((64, 2, 8)), callbacks=[cut], verbose=0)
    for ticket in cut.tickets:
        most = ticket.facts["byte_budget"][0]
        assert 0.95 * most < ticket.facts["stored_bytes"] <= most
    names = sorted(path.name for path in tmp_path.glob("ticket_*"))
    assert names == ["ticket_25600B.safetensors", "ticket_40000B.safetensors"]
    weights = load_state(tmp_path / "start.safetensors", "a beginning")[0]
    beginning = cut.folder.beginning(cut._pruning.budgets, weights, 0)
    assert all(isinstance(budget, ByteBudget) for budget in beginning.budgets)
    with pytest.raises(pep_tf.PepError, match=re.escape("`dtype` must be one of ['float32'")):
        pep_tf.prune(tiny.model("fm"), tiny.DATA, budgets=["2KB"], dtype="int3")
