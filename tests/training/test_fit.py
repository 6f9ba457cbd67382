import dataclasses
import sys

import numpy as np
import pytest

from pep_tf.data import ArraySplit
from pep_tf.errors import RunError
from pep_tf.training import Evaluator, Metrics, fit
from pep_tf.training.state import load_state, save_state
from pep_tf.training.weights import snapshot
from tests import tiny
from tests.training.interrupted import Diary, Interrupt, assert_same


def train(model, checkpoint=None, reporter=None, data=tiny.DATA, **options):
    options = {"checkpoint_every": 4, **options}
    return fit(model, data, tiny.settings(**options), checkpoint=checkpoint, reporter=reporter)


def facts(result):
    return dataclasses.replace(result, seconds=0)


class Script:
    """In place of an `Evaluator`: AUCs as a script says; keeps the weights of each epoch."""

    def __init__(self, model, aucs):
        self.model, self.aucs, self.weights, self.read = model, list(aucs), [], []

    def __call__(self, split):
        self.read.append(split)
        if split is tiny.DATA.validation and self.aucs:
            self.weights.append(snapshot(self.model))
            return Metrics(self.aucs.pop(0), 0.5)
        return Metrics(0.5, 0.5)


@pytest.mark.parametrize(
    ("aucs", "patience", "most", "best"),
    [
        ([0.6, 0.7, 0.65, 0.7], 2, 9, 2),  # an equal AUC is not better
        ([0.6, 0.5, 0.61, 0.6, 0.6], 2, 9, 3),
        ([0.6, 0.5], 1, 9, 1),
        ([0.5, 0.6, 0.4], 5, 3, 2),  # ends by `epochs`
    ],
)
def test_early_stopping(monkeypatch, aucs, patience, most, best):
    model = tiny.model("linear")
    script = Script(model, aucs)
    # by the module, since `pep_tf.training.fit` is the function
    monkeypatch.setattr(sys.modules[fit.__module__], "Evaluator", lambda _: script)
    result = train(model, epochs=most, patience=patience)
    assert (result.best_epoch, result.epochs) == (best, len(aucs))
    assert_same(snapshot(model), script.weights[best - 1])
    # the test split is read once, after everything else
    assert [split is tiny.DATA.test for split in script.read].count(True) == 1
    assert script.read[-1] is tiny.DATA.test


def test_metrics_are_those_of_the_model_that_is_left():
    model = tiny.model("fm")
    before = Evaluator(model)(tiny.DATA.validation)
    diary = Diary()
    result = train(model, reporter=diary)
    evaluate = Evaluator(model)
    assert result.validation == evaluate(tiny.DATA.validation)
    assert result.test == evaluate(tiny.DATA.test)
    assert result.validation.auc > before.auc
    assert result.validation.auc == max(u.get("validation_auc", 0) for u in diary.updates)
    assert result.seconds > 0
    assert diary.stages == [("fit", 21, 0)]
    assert [u["step"] for u in diary.updates if "validation_auc" in u] == [7, 14, 21]
    assert diary.finished


def test_history_holds_the_mean_loss_of_the_steps_between():
    diary = Diary()
    result = train(tiny.model("fm"), reporter=diary, check_every=1, checkpoint_every=4, epochs=2)
    assert [check["step"] for check in result.history] == [4, 7, 8, 12, 14]
    losses = {u["step"]: u["loss"] for u in diary.updates if "loss" in u}
    assert list(losses) == list(range(1, 15))
    assert result.history[0]["loss"] == pytest.approx(np.mean([losses[s] for s in (1, 2, 3, 4)]))
    assert result.history[1]["loss"] == pytest.approx(np.mean([losses[s] for s in (5, 6, 7)]))
    told = [u["validation_auc"] for u in diary.updates if "validation_auc" in u]
    assert [check.get("validation_auc") for check in result.history] == [
        None,
        told[0],
        None,
        None,
        told[1],
    ]


def test_how_often_the_loss_is_reported_changes_nothing():
    often, seldom = (train(tiny.model("deepfm"), check_every=every) for every in (1, 50))
    assert (often.validation, often.test) == (seldom.validation, seldom.test)
    # The means are rounded at other places.
    for one, other in zip(often.history, seldom.history, strict=True):
        assert one == pytest.approx(other)


def test_interrupted_and_resumed_is_as_if_nothing_had_happened(tmp_path):
    """Before the first checkpoint, and between one and the next."""
    model = tiny.model("fm")
    whole = train(model)
    for stop, kept in ((1, 0), (8, 12)):
        path, diary = tmp_path / f"{stop}", Diary()
        with pytest.raises(Interrupt):
            train(tiny.model("fm"), path, Diary(at=stop))
        resumed = tiny.model("fm", seed=5 if kept else 0)
        assert facts(train(resumed, path, diary)) == facts(whole)
        assert_same(snapshot(resumed), snapshot(model))
        assert diary.stages == [("fit", 21, kept)]


def test_a_run_that_was_done_is_taken_up_at_its_last_checkpoint(tmp_path):
    model, diary = tiny.model("linear"), Diary()
    result = train(model, tmp_path / "checkpoint", checkpoint_every=7)
    again = tiny.model("linear", seed=3)
    assert facts(train(again, tmp_path / "checkpoint", diary, checkpoint_every=7)) == facts(result)
    assert diary.stages == [("fit", 21, 21)]
    assert_same(snapshot(again), snapshot(model))


def test_a_checkpoint_of_another_stage(tmp_path):
    train(tiny.model("linear"), tmp_path / "checkpoint", epochs=1)
    with pytest.raises(RunError, match="another model or stage"):
        fit(
            tiny.model("linear"),
            tiny.DATA,
            tiny.settings(),
            stage="ticket 5",
            checkpoint=tmp_path / "checkpoint",
        )


def test_a_fact_that_a_checkpoint_lacks_is_named(tmp_path):
    path = tmp_path / "checkpoint"
    train(tiny.model("linear"), path, epochs=1)
    arrays, saved = load_state(path, "a checkpoint")
    model = tiny.model("linear")
    for name in ("best_auc", "best_epoch", "history", "seconds"):
        facts = {key: value for key, value in saved["facts"].items() if key != name}
        save_state(path, arrays, {**saved, "facts": facts})
        with pytest.raises(RunError, match=f"checkpoint is damaged .*'{name}'.*; delete it"):
            train(model, path)


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    bad = tiny.DATA.train.labels.copy()
    bad[np.random.default_rng([0, 0]).permutation(200)[170]] = np.nan  # batch 5 of epoch 0
    split = ArraySplit(tiny.DATA.train.ids, tiny.DATA.train.labels, np.arange(200))
    data = dataclasses.replace(tiny.DATA, train=split)
    assert data.identity == tiny.DATA.identity  # what the checkpoint says it was written on
    split.labels = bad
    with pytest.raises(
        RunError, match="The loss became nan in stage 'fit', between step 4 and ste"
    ):
        train(tiny.model("linear"), path, data=data)
    model = tiny.model("linear")
    assert train(model, path).epochs == 3  # with the labels mended it goes on
