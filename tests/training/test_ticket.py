import dataclasses
import json

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from pep_tf.errors import RunError, TicketError
from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from pep_tf.training import Ticket, fit
from pep_tf.training.cut_tickets import cut_tickets
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import assign, named_weights, snapshot
from tests import tiny
from tests.layers.test_pep_embedding import square_gate
from tests.training.interrupted import assert_same

BUDGET = 21
FACTS = {"dataset": "tiny", "split_md5": {"train": "0f"}}


def cut(model: keras.Model, budget: int = BUDGET) -> Ticket:
    """A ticket of a model whose weights have moved a little since the start."""
    initial = snapshot(model)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    (ticket,) = cut_tickets(model, initial, [budget], 40, True, FACTS)
    return ticket


@pytest.fixture(scope="module")
def pruned():
    return tiny.model("deepfm", threshold_init=-1.5)


@pytest.fixture(scope="module")
def initial(pruned):
    return snapshot(pruned)


@pytest.fixture(scope="module")
def ticket(pruned, initial):
    return cut(pruned)


@pytest.fixture
def path(ticket, tmp_path):
    ticket.save(tmp_path / "ticket")
    return tmp_path / "ticket"


def test_keeps_the_highest_scores(ticket, pruned):
    score = np.concatenate([score for *_, score in pruned.embedding.blocks()])
    mask = ticket.mask()
    assert mask.shape == (16, 4)
    assert mask.sum() == ticket.nnz == ticket.budget == BUDGET
    assert score[mask].min() > score[~mask].max()
    assert (ticket.step, ticket.forced, ticket.facts) == (40, True, FACTS)


def test_holds_only_what_is_kept_and_no_thresholds(ticket, pruned, initial):
    mask = ticket.mask()
    np.testing.assert_array_equal(
        ticket.initial["embedding/table"], initial["embedding/table"][mask]
    )
    np.testing.assert_array_equal(
        ticket.trained["embedding/table"], pruned.embedding.effective_table()[mask]
    )
    for weights in (ticket.initial, ticket.trained):
        assert set(weights) == set(initial) - {"embedding/thresholds"}


def test_a_model_of_original_weights(ticket, initial):
    model = ticket.model()
    weights = snapshot(model)
    for name in ("rows", "starts", "columns"):
        weights.pop(f"embedding/{name}")
    expected = {n: v for n, v in initial.items() if n != "embedding/thresholds"}
    mask = ticket.mask()
    expected["embedding/table"] = expected["embedding/table"][mask][:, None]
    assert_same(weights, expected)
    table = model.embedding.effective_table()
    np.testing.assert_array_equal(table, initial["embedding/table"] * mask)
    assert model.embedding.nnz() == BUDGET
    assert model.field_ids.fields == tiny.FIELDS


def test_a_model_of_trained_weights_gives_the_outputs_of_the_cut_model(pruned):
    """With a budget that the thresholds had reached, nothing is lost in the cut."""
    budget = pruned.embedding.nnz()
    (ticket,) = cut_tickets(pruned, snapshot(pruned), [budget], 40, False, FACTS)
    assert 0 < ticket.nnz < tiny.ENTRIES
    ids = tiny.DATA.test.ids
    np.testing.assert_allclose(ticket.model("trained")(ids), pruned(ids), atol=1e-6)


def test_a_model_of_random_weights(ticket, initial):
    tables = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        model = ticket.model("random")
        assert model.embedding.nnz() == BUDGET
        tables.append(model.embedding.effective_table())
        np.testing.assert_array_equal(tables[-1] != 0, ticket.mask())
        kernel = "deep/dense_0/kernel"
        assert not np.array_equal(named_weights(model)[kernel], initial[kernel])
    np.testing.assert_array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0], tables[2])
    assert not np.array_equal(tables[0], initial["embedding/table"] * ticket.mask())


def test_a_model_of_something_else(ticket):
    with pytest.raises(ValueError, match=r"`init` must be one of \['original', .*'zeros'"):
        ticket.model("zeros")


@pytest.mark.parametrize("init", ["original", "random"])
def test_as_many_non_zeros_after_retraining(init):
    model = cut(tiny.model("fm")).model(init)
    before = model.embedding.effective_table()
    fit(model, tiny.DATA, tiny.settings(epochs=2))
    assert model.embedding.nnz() == BUDGET
    table = model.embedding.effective_table()
    np.testing.assert_array_equal(table != 0, before != 0)
    assert np.abs(table - before).max() > 0.01


class Masked(keras.layers.Layer):
    """The whole table under its mask: what a ticket's layer is to equal."""

    def __init__(self, table, mask):
        super().__init__(name="embedding")
        self.start, self.mask = table, tf.constant(mask, tf.float32)

    def build(self, input_shape):
        self.table = self.add_weight(name="table", shape=self.start.shape)
        self.table.assign(self.start)

    def call(self, rows):
        return tf.gather(self.table * self.mask, rows)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.start.shape[1])


@pytest.mark.parametrize("updates", ["dense", "rowwise"])
def test_retrains_as_a_masked_table_would(updates):
    ticket = cut(tiny.model("fm"))
    mask = ticket.mask()
    table = np.zeros(mask.shape, np.float32)
    table[mask] = ticket.initial["embedding/table"]
    masked = FM(tiny.FIELDS, Masked(table, mask))
    masked.build()
    rest = {k: v for k, v in ticket.initial.items() if not k.startswith("embedding/")}
    assign(masked, rest)
    sparse = ticket.model()
    settings = tiny.settings(epochs=2, updates="dense")
    oracle = fit(masked, tiny.DATA, settings)
    result = fit(sparse, tiny.DATA, dataclasses.replace(settings, updates=updates))
    assert result.best_epoch == oracle.best_epoch
    np.testing.assert_allclose(
        sparse.embedding.effective_table(), masked.embedding.table.numpy() * mask, atol=2e-6
    )
    assert result.test.auc == pytest.approx(oracle.test.auc, abs=1e-4)


@pytest.mark.parametrize("budget", [0, tiny.ENTRIES])
def test_round_trip_of_nothing_and_everything(budget, tmp_path):
    ticket = cut(tiny.model("fm"), budget)
    ticket.save(tmp_path / "ticket")
    model = Ticket.load(tmp_path / "ticket").model()
    assert model.embedding.nnz() == budget


def test_round_trip(ticket, path):
    again = Ticket.load(path)
    assert_same(again.masks(), ticket.masks())
    assert_same(again.initial, ticket.initial)
    assert_same(again.trained, ticket.trained)
    for name in ("budget", "nnz", "step", "forced", "facts"):
        assert getattr(again, name) == getattr(ticket, name)
    assert json.dumps(again.blueprint.config) == json.dumps(ticket.blueprint.config)
    assert again.blueprint.skeleton == ticket.blueprint.skeleton
    for init in ("original", "trained"):
        assert_same(snapshot(again.model(init)), snapshot(ticket.model(init)))


def test_the_file_holds_no_pickle_and_is_small(ticket, path):
    content = safetensors.numpy.load_file(path)
    assert {array.dtype.kind for array in content.values()} <= {"f", "u", "i", "b"}
    assert content["initial/embedding/table"].nbytes == 4 * BUDGET


def test_a_model_with_its_own_embedding_layer_and_gate(tmp_path):
    embedding = PEPEmbedding(16, 3, gate=square_gate, threshold_init=0.1, name="mine")
    model = FM(tiny.FIELDS, embedding)
    model.build()
    cut(model, 10).save(tmp_path / "ticket")
    rebuilt = Ticket.load(tmp_path / "ticket").model()
    assert rebuilt.embedding.nnz() == 10
    assert rebuilt.embedding.name == "mine"


def test_fields_must_be_those_of_the_data(ticket):
    ticket.check_fields(tiny.FIELDS)
    user, item, hour = tiny.FIELDS.items()
    for other in (
        [user, item],
        [item, user, hour],
        [user, item, ("hour", 5)],
        [user, item, ("h", 4)],
    ):
        with pytest.raises(
            TicketError, match="belongs to a table with the fields .*but the data has"
        ):
            ticket.check_fields(dict(other))


def test_missing(tmp_path):
    with pytest.raises(TicketError, match="a ticket .*gone is missing"):
        Ticket.load(tmp_path / "gone")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_truncated(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TicketError, match="ticket is damaged or is not a ticket"):
        Ticket.load(path)


@pytest.mark.parametrize("facts", [{"stage": "prune"}, {"pep_tf_ticket": 3}, ["pep_tf_ticket"], 3])
def test_a_state_file_of_another_kind(tmp_path, facts):
    save_state(tmp_path / "x", {"a": np.zeros(2)}, facts)
    with pytest.raises(TicketError, match="x is not a ticket of format 1 to 2 of this package"):
        Ticket.load(tmp_path / "x")


def spoil(path, arrays=(), without=(), **facts):
    """Rewrites a ticket with other arrays or facts."""
    old_arrays, old_facts = load_state(path, "a ticket")
    new = {n: v for n, v in {**old_arrays, **dict(arrays)}.items() if n not in without}
    facts = {n: v for n, v in {**old_facts, **facts}.items() if n not in without}
    save_state(path, new, facts)


def table(**changes):
    """What a file says of the embedding, with changes."""
    config = {"input_dim": 16, "output_dim": 4, "name": "embedding"}
    told = {"dim": 4, "path": "embedding", "config": config, "place": ["PEPEmbedding", "embedding"]}
    return {"embedding": {**told, **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        {"without": ["mask/embedding"]},
        {"without": ["initial/embedding/table"]},
        {"without": ["trained/embedding/table"]},
        {"without": ["initial/deep/dense_0/kernel"]},
        {"without": ["nnz"]},
        {"without": ["model_config"]},
        {"unheard_of": 1},
        {"nnz": BUDGET + 1},
        {"tables": table(dim=3)},
        {"tables": table(dim="four")},
        {"tables": table(path="other")},
        {"tables": table(config={})},
        {"tables": {}},
        {"tables": None},
        {"skeleton": {}},
        {"arrays": {"mask/embedding": np.zeros((16, 1), np.uint8)}},
        {"arrays": {"mask/embedding": np.zeros((16, 1), np.float32)}},
        {"arrays": {"mask/embedding": np.zeros(16, np.uint8)}},
        {"arrays": {"mask/embedding": np.full((8, 1), 0xF0, np.uint8)}, "nnz": 32},
        {"arrays": {"initial/embedding/table": np.zeros(3, np.float32)}},
        {"arrays": {"initial/deep/dense_0/kernel": np.zeros((2, 2), np.float32)}},
        {"arrays": {"initial/deep/unheard_of": np.zeros(2, np.float32)}},
    ],
    ids=str,
)
def test_a_ticket_that_contradicts_itself(path, changes):
    spoil(path, **changes)
    with pytest.raises(TicketError, match="ticket is damaged: "):
        Ticket.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_config": None},
        {"model_config": {"config": {}}},
        {"model_config": {"class_name": "FM", "config": {"embedding": {}}}},
    ],
    ids=str,
)
def test_a_model_that_cannot_be_made(path, changes):
    spoil(path, **changes)
    with pytest.raises(TicketError, match="cannot be made"):
        Ticket.load(path).model()


def test_another_architecture_names_the_layers_that_differ(ticket, path):
    config = json.loads(json.dumps(ticket.blueprint.config))
    config["config"]["mlp_widths"] = [7]
    spoil(path, model_config=config)
    with pytest.raises(
        TicketError, match=r"layer 'deep/dense_0' has weights .*\[12, 6\].*\[12, 7\]"
    ):
        Ticket.load(path).model()


def test_an_unwritable_folder(ticket, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot write"):
        ticket.save(tmp_path / "file" / "ticket")


def test_subclasses_load_as_themselves(path):
    @dataclasses.dataclass
    class Mine(Ticket):
        more: int = 0

    assert type(Mine.load(path)) is Mine


# Files of the format before this one, in which the embedding was the only table, but for the
# first-order weights beside it.


def write_format_1(path, ticket: Ticket) -> None:
    """Writes a ticket of one of the package's models as it was written then."""
    kept = ticket.tables
    arrays = {"mask_bits": kept["embedding"].bits}
    if "first_order" in kept:
        arrays["linear_bits"] = np.packbits(kept["first_order"].mask())
    arrays |= {f"initial/{name}": value for name, value in ticket.initial.items()}
    arrays |= {f"pruned/{name}": value for name, value in ticket.trained.items()}
    facts = {
        "pep_tf_ticket": 1,
        **{name: getattr(ticket, name) for name in ("budget", "nnz", "step", "forced", "facts")},
        "dim": kept["embedding"].dim,
        "model_config": ticket.blueprint.config,
    }
    save_state(path, arrays, facts)


@pytest.mark.parametrize("init", ["original", "trained"])
@pytest.mark.parametrize(
    "options", [{"name": "deepfm"}, {"name": "fm", "prune_linear": True}], ids=str
)
def test_format_1(options, init, tmp_path):
    ticket = cut(tiny.model(**options, threshold_init=-1.5))
    write_format_1(tmp_path / "old", ticket)
    old = Ticket.load(tmp_path / "old")
    assert_same(old.masks(), ticket.masks())
    assert_same(snapshot(old.model(init)), snapshot(ticket.model(init)))
    old.check_fields(tiny.FIELDS)
    old.save(tmp_path / "new")
    assert_same(snapshot(Ticket.load(tmp_path / "new").model(init)), snapshot(ticket.model(init)))


def test_format_1_of_an_embedding_of_ones_own_name(tmp_path):
    model = FM(tiny.FIELDS, PEPEmbedding(16, 4, threshold_init=-1.5, name="mine"))
    model.build()
    ticket = cut(model)
    write_format_1(
        tmp_path / "old",
        dataclasses.replace(
            ticket,
            tables={"embedding": ticket.tables["mine"]},
            initial={n.replace("mine/", "embedding/"): v for n, v in ticket.initial.items()},
            trained={n.replace("mine/", "embedding/"): v for n, v in ticket.trained.items()},
        ),
    )
    again = Ticket.load(tmp_path / "old").model()
    np.testing.assert_array_equal(
        again.embedding.effective_table(), ticket.model().embedding.effective_table()
    )


@pytest.mark.parametrize("without", ["mask_bits", "linear_bits", "pruned/embedding/table"])
def test_format_1_that_lacks_a_part(without, tmp_path):
    ticket = cut(tiny.model("fm", prune_linear=True))
    write_format_1(tmp_path / "old", ticket)
    spoil(tmp_path / "old", without=[without])
    with pytest.raises(TicketError, match="old is damaged: "):
        Ticket.load(tmp_path / "old")
