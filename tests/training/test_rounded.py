"""Tickets retrained with the numbers that are stored; what they export is in `methods/test_prefix.py`."""

import numpy as np
import pytest

import pep_tf
from pep_tf.errors import ModelError, RunError
from pep_tf.experiments.config import Config
from pep_tf.training import Ticket
from pep_tf.training.rounded import RATES, fit_as_stored
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import Diary, Interrupt, assert_same


@pytest.fixture(scope="module")
def ticket(tmp_path_factory):
    """A ticket cut to bytes of 4 bits, from its file."""
    options = {"budgets": ["40%bytes"], "method": "random", "dtype": "lsq4"}
    [cut] = pep_tf.prune(tiny.model("fm", seed=3), tiny.DATA, **options)
    assert cut.facts["stored_bytes"] <= 0.4 * 16 * 5 * 4
    file = tmp_path_factory.mktemp("ticket") / "ticket.safetensors"
    cut.save(file)
    return Ticket.load(file)


def test_retraining_moves_the_steps_of_all_tables(ticket):
    steps = [layer.steps.values().numpy() for layer in ticket.model().same_rows]
    ticket.retrain(tiny.DATA, settings=tiny.settings(epochs=1))
    for layer, before in zip(ticket.retrained.same_rows, steps, strict=True):
        after = layer.steps.values().numpy()
        kept = layer.steps.counts.numpy() > 1
        assert (after != before)[kept].any()
        table = layer.effective_table()
        of_rows = np.repeat(after, list(tiny.FIELDS.values()), axis=0)
        np.testing.assert_allclose(table / of_rows, np.rint(table / of_rows), atol=1e-4)
    assert ticket.retrained.embedding.stored_form("float32") is None  # its rows are these numbers
    with pytest.raises(ModelError, match="cannot be stored in int8: they were trained as lsq4"):
        ticket.export("nowhere", dtype="int8")


def test_numbers_are_rounded_once_they_are_trained(tmp_path):
    def trained(folder, reporter, seed=0):
        folder.mkdir(exist_ok=True)
        settings = tiny.settings(epochs=2, checkpoint_every=4)
        model, own = tiny.model("fm", pruning="none", seed=seed), folder / "own.safetensors"
        kept = {"checkpoint": own, "reporter": reporter}
        return fit_as_stored(model, tiny.DATA, settings, "lsq4", stage="own", **kept)

    diary = Diary()
    model, result = trained(tmp_path / "whole", diary)
    assert [name for name, *_ in diary.stages] == ["own", "own, rounded 1", "own, rounded 2"]
    assert (len(RATES), result.epochs) == (2, 6)
    assert 4 < result.best_epoch <= 6
    assert [entry["step"] for entry in result.history][-1] == 6 * 7
    assert result.cut_short
    for at in (3, len(diary.updates) - 1):
        with pytest.raises(Interrupt):
            trained(tmp_path / f"{at}", Diary(at=at))
        again, resumed = trained(tmp_path / f"{at}", Diary(), seed=5 * (at > 3))
        assert resumed.test == result.test
        assert_same(snapshot(again), snapshot(model))


def test_first_order_weights_have_a_dtype_of_their_own(ticket):
    model = ticket.model(dtype={"embedding": "float32", "first_order": "lsq4"})
    assert model.embedding.steps is None
    model.first_order.table.assign(np.ones((16, 1)))
    # 16 numbers of half a byte, the place of nothing, and the steps of 3 fields and of nothing.
    assert model.first_order.stored_form("lsq4").nbytes == 9 + 2 * 4
    with pytest.raises(RunError, match="`dtype` must name tables .*Received: \\['linear'\\]"):
        ticket.model(dtype={"linear": "int8"})
    with pytest.raises(RunError, match="`dtype` must be one of .*Received: 'int3'"):
        ticket.model(dtype="int3")


def test_what_was_not_rounded_in_training_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be stored in lsq8: they were trained as float32"):
        pep_tf.export(tiny.model("fm"), tmp_path, data=tiny.DATA, dtype="lsq8")
    with pytest.raises(RunError, match="`export_dtype` must be one of .* for method=hash"):
        Config(method="hash", export_dtype="lsq4")
    with pytest.raises(RunError, match="`first_order_dtype` needs first-order weights"):
        Config(model="autoint", first_order_dtype="int8")
