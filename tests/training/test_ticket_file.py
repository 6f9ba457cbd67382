"""Tickets on disk: damaged ones, foreign ones, and those of the format before."""

import dataclasses
import json

import numpy as np
import pytest

from pep_tf.errors import RunError, TicketError
from pep_tf.layers import PEPEmbedding
from pep_tf.models import FM
from pep_tf.training import Ticket
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import assert_same
from tests.training.test_ticket import BUDGET, cut


@pytest.fixture(scope="module")
def ticket():
    return cut(tiny.model("deepfm", threshold_init=-1.5))


@pytest.fixture
def path(ticket, tmp_path):
    ticket.save(tmp_path / "ticket")
    return tmp_path / "ticket"


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


def test_a_class_that_is_not_registered(ticket, path):
    config = json.loads(json.dumps(ticket.blueprint.config))
    config |= {"module": "mine", "registered_name": "mine>Model", "class_name": "Model"}
    spoil(path, model_config=config)
    with pytest.raises(TicketError, match=r"classes \['Model'\] are not registered"):
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
