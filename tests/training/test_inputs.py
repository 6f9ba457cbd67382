"""What is wrong with the data or the model is told before the first step, whatever trains on it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import pep_tf
from pep_tf import tuning
from pep_tf.data import ArraySplit, FeatureSchema
from pep_tf.errors import DataError, DivergedError, RunError
from pep_tf.training import Evaluator, Silent, fit, prune
from tests import tiny


class Steps(Silent):
    """Fails as soon as anything is trained."""

    def start(self, *_):
        raise AssertionError("training has begun")


def ticket():
    found = pep_tf.prune(
        tiny.model(), tiny.DATA, budgets=[8], settings=tiny.settings(prune_epochs=1)
    )
    return found[0]


CALLS = {
    "fit": lambda data, _: fit(tiny.model(), data, tiny.settings(), reporter=Steps()),
    "training.prune": lambda data, _: prune(
        tiny.model(), data, tiny.settings(), [8], reporter=Steps()
    ),
    "pep_tf.prune": lambda data, _: pep_tf.prune(
        tiny.model(), data, budgets=[8], settings=tiny.settings(), reporter=Steps()
    ),
    "retrain": lambda data, _: ticket().retrain(data, settings=tiny.settings(), reporter=Steps()),
    "tune": lambda data, folder: tuning.tune(data, folder / "search", reporter=Steps()),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_table_in_place_of_a_data_set(call, tmp_path):
    table = pd.DataFrame({"user": [1], "clicked": [0]})
    message = r"`data` must be a CTRData: .*pep_tf.data.load.*from_arrays\(.* Received: DataFrame$"
    with pytest.raises(DataError, match=message):
        CALLS[call](table, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", [fit, lambda *given: prune(*given, [8])])
def test_a_model_in_float16_is_refused(call):
    model = tiny.model("deepfm", dtype="mixed_float16")
    before = model.embedding.table.numpy()
    with pytest.raises(
        RunError, match="must not compute in float16.*mixed_bfloat16.*mixed_float16"
    ):
        call(model, tiny.DATA, tiny.settings())
    np.testing.assert_array_equal(model.embedding.table, before)


@pytest.mark.parametrize("call", CALLS)
def test_a_test_split_of_one_class_costs_no_epoch(call, tmp_path):
    ids = tiny.DATA.test.ids
    data = dataclasses.replace(
        tiny.DATA, test=ArraySplit(ids, np.zeros(len(ids)), np.arange(len(ids)))
    )
    with pytest.raises(DataError, match="`test` must hold rows of both classes.*all labelled 0"):
        CALLS[call](data, tmp_path)
    assert not list(tmp_path.iterdir())


def test_export_of_a_table():
    with pytest.raises(DataError, match="`data` must be a CTRData: .* Received: DataFrame"):
        pep_tf.export(tiny.model(), "unused", data=pd.DataFrame())


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"user": 5, "hour": 4, "item": 7}, "its field 'item' of size 7 is 'hour' of size 4"),
        ({"user": 5, "item": 8, "hour": 4}, "its field 'item' of size 7 is 'item' of size 8"),
        ({"user": 5, "item": 7, "hour": 4, "day": 2}, "it has 3 fields, the data 4"),
    ],
)
@pytest.mark.parametrize("train", [fit, lambda *given: prune(*given, [8])])
def test_a_model_of_other_fields(train, fields, shown):
    """Silent where the ids happen to fit."""
    splits = [
        ArraySplit(np.zeros((20, len(fields)), int), np.arange(20) % 2, np.arange(20))
        for _ in range(3)
    ]
    data = pep_tf.CTRData("other", FeatureSchema.of(fields), *splits)
    with pytest.raises(RunError, match=f"`model` must be built for the fields .*: {shown}"):
        train(tiny.model(), data, tiny.settings())


def test_logits_that_are_not_finite():
    model = tiny.model("fm")
    model.bias.assign([np.nan])
    with pytest.raises(
        DivergedError, match="Logits must be finite. Received: nan in row 0, and in all 120 of 120"
    ):
        Evaluator(model)(tiny.DATA.test)
